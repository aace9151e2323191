/* SPDX-License-Identifier: MIT */
/* Names of PCI functions, MAC and IP addresses as people write them: devname.h. Pure: the control domain, pciback and driver domains use it. */
#include <devname.h>
#include <stdlib.h>
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

static bool ip4(const char *s, const char **end, uint8_t *a)
{
    for (unsigned i = 0; i < 4; i++) {
        size_t n = strspn(s, "0123456789");
        unsigned long v = strtoul(s, NULL, 10);
        *end = s + n;
        if (!n || n > 3 || v > 255 || (i < 3 && **end != '.'))
            return false;
        a[i] = (uint8_t)v;
        s = *end + 1;
    }
    return true;
}

static bool ip6(const char *s, const char **end, uint8_t a[16])
{
    unsigned n = 0, gap = 17; /* bytes; where :: stands among them */

    memset(a, 0, 16);
    if (s[0] == ':' && s[1] != ':')
        return false;
    for (;; s++) {
        if (s[0] == ':' && s[1] == ':') {
            if (gap <= 16)
                return false;
            gap = n;
            s += 2;
        } else if (n && *s == ':') {
            s++;
        } else if (n) {
            break;
        }
        size_t len = strspn(s, "0123456789abcdefABCDEF");
        if (!len && gap == n)
            break; /* it ends with :: */
        if (len && s[len] == '.' && n <= 12 && ip4(s, end, a + n)) {
            n += 4;
            s = *end;
            break;
        }
        if (!len || len > 4 || n == 16)
            return false;
        unsigned long v = strtoul(s, NULL, 16);
        a[n++] = (uint8_t)(v >> 8);
        a[n++] = (uint8_t)v;
        s += len - 1;
    }
    *end = s;
    if (gap > 16)
        return n == 16;
    if (n > 14)
        return false;
    memmove(a + 16 - (n - gap), a + gap, n - gap);
    memset(a + gap, 0, 16 - n);
    return true;
}

bool ip_parse(const char *text, const char **end, uint8_t a[16])
{
    memset(a, 0, 16);
    if (!ip4(text, end, a + 12))
        return ip6(text, end, a);
    a[10] = a[11] = 0xff;
    return true;
}
