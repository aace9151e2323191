/* SPDX-License-Identifier: MIT */
/* Days, and the moment at which a second begins: calendar.h. */
#include "time/calendar.h"

#define CMOS_24H    0x02
#define CMOS_BINARY 0x04
#define CMOS_PM     0x80

static unsigned from_bcd(uint8_t v, uint8_t mode)
{
    return mode & CMOS_BINARY ? v : (v >> 4) * 10u + (v & 15u);
}

uint64_t calendar_seconds(unsigned year, unsigned month, unsigned day, unsigned hour,
                          unsigned minute, unsigned second)
{
    /* Days of the proleptic Gregorian calendar, the year beginning in March so that the leap day comes last. */
    unsigned y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;
    uint64_t days = 365ull * y + y / 4 - y / 100 + y / 400 + (153ull * m + 2) / 5 + day - 1;
    days -= 719468; /* 1970-01-01 counted so */
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

bool clock_edge(struct clock_edge *e, uint64_t now, bool updating, uint8_t second, uint64_t *at)
{
    if (updating) /* the registers are not to be read; what comes after it counts from the look before */
        return false;
    bool begins = e->seen && second != e->second && now - e->at <= CLOCK_EDGE_NS;
    *at = e->at + (now - e->at) / 2;
    *e = (struct clock_edge){ .at = now, .second = second, .seen = true };
    return begins;
}

uint64_t calendar_from_cmos(const uint8_t v[7], uint8_t mode)
{
    bool pm = !(mode & CMOS_24H) && v[2] & CMOS_PM;
    unsigned hour = from_bcd((uint8_t)(mode & CMOS_24H ? v[2] : v[2] & ~CMOS_PM), mode);
    if (!(mode & CMOS_24H))
        hour = hour % 12 + (pm ? 12 : 0);
    unsigned century = from_bcd(v[6], mode), year = from_bcd(v[5], mode);
    if (century < 19 || century > 99)
        century = year < 70 ? 20 : 19;
    unsigned month = from_bcd(v[4], mode), day = from_bcd(v[3], mode);
    if (month < 1 || month > 12 || day < 1 || day > 31)
        return 0;
    if (century * 100 + year < 1970)
        return 0;
    return calendar_seconds(century * 100 + year, month, day, hour, from_bcd(v[1], mode),
                            from_bcd(v[0], mode));
}
