/* SPDX-License-Identifier: MIT */
/*
 * pciback: discovers and describes assigned devices. It alone may ask the core for configuration space (BH_CTL_PCI_CFG), which
 * the core filters; it has no other right.
 *
 * Peers:
 *   core     reads of the virtual configuration space of hidden devices
 *   store    its own subtree, as any domain
 *   owners   none: an owner reads cfg-N from the store, and needs neither us nor the store after its first life
 *
 * Protocol, in backend/pci/<owner>/0 below our own home:
 *   control writes frontend, frontend-id, num_devs, dev-N (0000:00:03.0), vdev-N, and state = 1
 *   we write cfg-N (the first 256 bytes of configuration space, in hex; readable by the owner) and state = 4,
 *   or error = a sentence and state = 6. An entry that control removes is forgotten.
 *
 * What is there counts, not what changed: each watch event is a scan of it all. So a restart of ours needs no memory.
 */
#include <bh.h>
#include <devname.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT        "backend/pci"
#define CFG_BYTES   256u
#define MAX_DEVS    16u
#define ST_INIT     1u /* XenbusState */
#define ST_INITWAIT 2u
#define ST_READY    4u
#define ST_CLOSED   6u

/* The filtered configuration space as text. 0 or the core's refusal. */
static int read_config(uint32_t sbdf, char text[2 * CFG_BYTES + 1])
{
    for (unsigned off = 0; off < CFG_BYTES; off += 4) {
        struct bh_pci_cfg c = { .sbdf = sbdf, .off = (uint16_t)off, .size = 4 };
        long rc = bh_ctl_pci_cfg(&c);
        if (rc)
            return (int)rc;
        for (unsigned i = 0; i < 4; i++)
            snprintf(text + 2 * (off + i), 3, "%02x", c.value >> i * 8 & 0xff);
    }
    return 0;
}

/* Describes device n of an owner. NULL, or why not. */
static const char *describe(const char *base, domid_t owner, unsigned n)
{
    char path[96], text[2 * CFG_BYTES + 1], perms[32], *dev;
    uint32_t sbdf;
    bool ok;
    int rc;

    snprintf(path, sizeof(path), "%s/dev-%u", base, n);
    dev = xs_read(0, path);
    ok = dev && pci_parse(dev, &sbdf);
    free(dev);
    if (!ok)
        return "dev-N is missing or is no device address";
    rc = read_config(sbdf, text);
    if (rc)
        return rc == -EACCES   ? "the device is not hidden"
               : rc == -ENOENT ? "no such device"
                               : "the core refuses it";
    snprintf(path, sizeof(path), "%s/cfg-%u", base, n);
    snprintf(perms, sizeof(perms), "n%u r%u", self.domid, owner);
    if (xs_write(0, path, text) || xs_set_perms(0, path, perms))
        return "the store does not take its description";
    printf(PCI_FMT " described to domain %u\n", PCI_ARGS(sbdf), owner);
    return NULL;
}

static void serve(domid_t owner)
{
    char base[48], path[96];
    const char *why = NULL;
    uint64_t state, n;

    snprintf(base, sizeof(base), ROOT "/%u/0", owner);
    snprintf(path, sizeof(path), "%s/state", base);
    if (xs_read_uint(0, path, &state) || (state != ST_INIT && state != ST_INITWAIT))
        return; /* not complete yet, served, or failed */
    snprintf(path, sizeof(path), "%s/num_devs", base);
    if (xs_read_uint(0, path, &n) || n > MAX_DEVS)
        why = "num_devs is missing or too large";
    for (unsigned i = 0; !why && i < n; i++)
        why = describe(base, owner, i);
    if (why) {
        printf("devices of domain %u: %s\n", owner, why);
        snprintf(path, sizeof(path), "%s/error", base);
        xs_write(0, path, why);
    }
    snprintf(path, sizeof(path), "%s/state", base);
    xs_printf(0, path, "%u", why ? ST_CLOSED : ST_READY);
    bh_served();
}

static void scan(const char *path, void *arg)
{
    unsigned n;
    char **owners = xs_ls(0, ROOT, &n);

    (void)path;
    (void)arg;
    if (!owners)
        return;
    for (unsigned i = 0; i < n; i++) {
        char *end;
        unsigned long id = strtoul(owners[i], &end, 10);
        if (end != owners[i] && !*end && id < DOMID_FIRST_RESERVED)
            serve((domid_t)id);
    }
    free(owners);
}

int main(void)
{
    if (xs_watch(ROOT, scan, NULL))
        bh_panic("no store: %d", xs_error);
    printf("ready\n");
    bh_svc_adopted();
    for (;;)
        event_wait(0);
}
