/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/domain/pci.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include
/* A * of pci= means the functions that there are, whoever has them; function 0 stays named where there is none. */
#include <errno.h>
#include "unit.h"
#include "console/console.h"
#include "domain/bridge.h"
#include "domain/pci.h"

static const uint32_t there[] = { 0x10, 0x300, 0x301, 0x303, 0x308, 0x30f };

long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    struct bh_pci_info *info = (struct bh_pci_info *)arg;

    if (op != BH_CTL_PCI_INFO || info->index >= ARRAY_SIZE(there))
        return -ENOENT;
    info->sbdf = there[info->index];
    return 0;
}
void say(const char *fmt, ...) {}
static struct dom pciback;
static bool has_pciback;
struct dom *dom_by_id(domid_t id)
{
    return has_pciback && id == BH_DOMID_PCIBACK ? &pciback : NULL;
}
unsigned bridges_of(const struct dom *d) { return 0; }

static void expand(const struct domcfg *from, int rc, unsigned n, const uint32_t *to)
{
    struct domcfg c = *from;
    struct errbuf e;

    assert_int_equal(pci_expand(&c, &e), rc);
    assert_int_equal(c.nr_pci, n);
    assert_int_equal(c.pci_all, rc ? from->pci_all : 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(c.pci[i], to[i]);
    if (rc)
        assert_string_equal(e.s, "a: pci: more than 8, with all functions of 0000:03:00.0");
}

TEST(all_functions)
{
    static struct domcfg c = {
        .name = "a", .nr_pci = 3, .pci = { 0x10, 0x300, 0x20 }, .pci_all = 6, .role = BH_ROLE_DRIVER
    };
    static const uint32_t to[] = { 0x10, 0x300, 0x301, 0x303, 0x20 };
    static const uint32_t many[] = { 0x300, 0x300, 0x300, 0x10 };

    expand(&c, 0, 5, to);
    c.pci_all = 0;
    expand(&c, 0, 3, c.pci);
    c.nr_pci = 4;
    c.pci_all = 15;
    memcpy(c.pci, many, sizeof(many));
    expand(&c, -ENOSPC, 4, many);
}

/* A guest asks pciback where its devices are, and waits for the answer. */
TEST(a_guest_needs_pciback)
{
    struct domcfg c = { .name = "a", .nr_pci = 1, .pci = { 0x10 }, .role = BH_ROLE_GUEST };
    struct errbuf e;

    assert_int_equal(pci_expand(&c, &e), -ENODEV);
    assert_non_null(strstr(e.s, "create pciback first"));
    has_pciback = true;
    assert_int_equal(pci_expand(&c, &e), 0);
    has_pciback = false;
    c.nr_pci = 0;
    assert_int_equal(pci_expand(&c, &e), 0);
}
