/* SPDX-License-Identifier: MIT */
/* Names of PCI functions and MAC addresses as people write them: devname.h. Pure: the control domain, pciback and driver domains use it. */
#include <devname.h>
#include <string.h>

/* Exactly so many hexadecimal digits, then `end`. */
static bool field(const char **p, unsigned digits, char end, uint32_t *v)
{
    *v = 0;
    for (unsigned i = 0; i < digits; i++, (*p)++) {
        char c = **p, letter = c | 32;
        if (c >= '0' && c <= '9')
            *v = *v << 4 | (uint32_t)(c - '0');
        else if (letter >= 'a' && letter <= 'f')
            *v = *v << 4 | (uint32_t)(letter - 'a' + 10);
        else
            return false;
    }
    return *(*p)++ == end;
}

bool pci_parse(const char *text, uint32_t *sbdf)
{
    uint32_t segment = 0, bus, slot, fn;

    if (strlen(text) == 12 && !field(&text, 4, ':', &segment))
        return false;
    if (!field(&text, 2, ':', &bus) || !field(&text, 2, '.', &slot) ||
        !field(&text, 1, '\0', &fn) || slot > 31 || fn > 7)
        return false;
    *sbdf = BH_SBDF(segment, bus, slot, fn);
    return true;
}

bool mac_parse(const char *text, uint8_t mac[6])
{
    for (unsigned i = 0; i < 6; i++) {
        uint32_t v;
        if (!field(&text, 2, i < 5 ? ':' : '\0', &v))
            return false;
        mac[i] = (uint8_t)v;
    }
    return true;
}
