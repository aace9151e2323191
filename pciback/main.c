/* SPDX-License-Identifier: MIT */
/*
 * pciback: discovers and describes assigned devices. It alone may ask the core for configuration space (BH_CTL_PCI_CFG), which
 * the core filters; it has no other right.
 *
 * Peers:
 *   core     reads of the virtual configuration space of hidden devices
 *   store    its own subtree, as any domain
 *   owners   none: where an owner's registers are says the core (BH_SVC_DEVICES); what is described here is for those who look on
 *
 * Protocol, in backend/pci/<owner>/0 below our own home:
 *   control writes frontend, frontend-id, num_devs, dev-N (0000:00:03.0), vdev-N, and state = 1
 *   we write cfg-N (the first 256 bytes of configuration space, in hex; readable by the owner) and state = 4,
 *   or error = a sentence and state = 6. An entry that control removes is forgotten.
 *
 * What is there counts, not what changed: each look is at all of it, and an owner is described in one transaction, so a death
 * of ours leaves nothing half done and needs no memory, and what control writes meanwhile is not taken for described.
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
#define RETRY_NS    (200 * NS_PER_MS)

static bool look = true; /* something may have changed since the last look began */
static uint64_t deadline_ms;

static void alive(void)
{
    if (deadline_ms)
        deadline_feed(deadline_ms);
}

/* The store is away, or somebody wrote meanwhile: it is tried again. A connection that is broken begins anew with the next instance. */
static bool no_answer(int rc)
{
    if (rc == -EIO)
        bh_panic("the connection to the store is broken");
    return rc == -ETIME || rc == -ENOTCONN || rc == -EAGAIN || rc == -ENOMEM;
}

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

/* Describes device n of an owner. 0 or the store's error; *why: what is wrong with the device. */
static int describe(uint32_t tx, const char *base, domid_t owner, unsigned n, const char **why)
{
    char path[96], text[2 * CFG_BYTES + 1], perms[32], *dev;
    uint32_t sbdf;

    alive();
    snprintf(path, sizeof(path), "%s/dev-%u", base, n);
    dev = xs_read(tx, path);
    if (!dev && no_answer(-xs_error))
        return -xs_error;
    bool ok = dev && pci_parse(dev, &sbdf);
    free(dev);
    if (!ok) {
        *why = "dev-N is missing or is no device address";
        return 0;
    }
    int rc = read_config(sbdf, text);
    if (rc) {
        *why = rc == -EACCES   ? "the device is not hidden"
               : rc == -ENOENT ? "no such device"
                               : "the core refuses it";
        return 0;
    }
    snprintf(path, sizeof(path), "%s/cfg-%u", base, n);
    snprintf(perms, sizeof(perms), "n%u r%u", self.domid, owner);
    rc = xs_write(tx, path, text);
    return rc ? rc : xs_set_perms(tx, path, perms);
}

/* Whether it waits for us. 0 or the store's error. */
static int waits(uint32_t tx, const char *base, bool *it_does)
{
    char path[96];
    uint64_t state;

    snprintf(path, sizeof(path), "%s/state", base);
    int rc = xs_read_uint(tx, path, &state);
    *it_does = !rc && (state == ST_INIT || state == ST_INITWAIT);
    return no_answer(rc) ? rc : 0;
}

static int describe_all(uint32_t tx, const char *base, domid_t owner)
{
    char path[96];
    const char *why = NULL;
    uint64_t n;

    snprintf(path, sizeof(path), "%s/num_devs", base);
    int rc = xs_read_uint(tx, path, &n);
    if (no_answer(rc))
        return rc;
    if (rc || n > MAX_DEVS)
        why = "num_devs is missing or too large";
    rc = 0;
    for (unsigned i = 0; !rc && !why && i < n; i++)
        rc = describe(tx, base, owner, i, &why);
    if (!rc && why) {
        snprintf(path, sizeof(path), "%s/error", base);
        rc = xs_write(tx, path, why);
    }
    snprintf(path, sizeof(path), "%s/state", base);
    if (!rc)
        rc = xs_printf(tx, path, "%u", why ? ST_CLOSED : ST_READY);
    if (!rc)
        printf("devices of domain %u: %s\n", owner, why ? why : "described");
    return rc;
}

/* False: to be tried again. */
static bool serve(domid_t owner)
{
    char base[48];
    uint32_t tx;
    bool it_does;

    snprintf(base, sizeof(base), ROOT "/%u/0", owner);
    int rc = waits(0, base, &it_does);
    if (rc || !it_does)
        return !rc;
    rc = xs_tx_start(&tx);
    if (rc && !no_answer(rc)) /* whose ends were not answered are used up: the next instance has none */
        bh_panic("the store refuses a transaction: %d", rc);
    if (rc)
        return false;
    rc = waits(tx, base, &it_does); /* from here on nobody else changes it, or the end is refused */
    if (!rc && it_does)
        rc = describe_all(tx, base, owner);
    int end = xs_tx_end(tx, !rc && it_does);
    rc = rc ? rc : end;
    if (rc && !no_answer(rc))
        printf("devices of domain %u: the store does not take their description: %d\n", owner, rc);
    if (!rc && it_does)
        bh_served();
    return !no_answer(rc);
}

/* All of it. False: the store did not answer, or somebody wrote meanwhile. */
static bool scan(void)
{
    unsigned n;
    char **owners = xs_ls(0, ROOT, &n);
    bool all = true;

    if (!owners)
        return !no_answer(-xs_error);
    for (unsigned i = 0; i < n; i++) {
        char *end;
        unsigned long id = strtoul(owners[i], &end, 10);
        if (end != owners[i] && !*end && id < DOMID_FIRST_RESERVED)
            all &= serve((domid_t)id);
    }
    free(owners);
    return all;
}

static void changed(const char *path, void *arg)
{
    (void)path, (void)arg;
    look = true;
}

/* Until then others have their turn; an instance that never gets its watch is ended by the supervisor. */
static void pause_a_while(void)
{
    for (uint64_t end = now_ns() + RETRY_NS; now_ns() < end; event_wait(end))
        alive();
}

int main(void)
{
    char word[16];

    if (cmdline_get("deadline", word, sizeof(word)))
        deadline_ms = strtoul(word, NULL, 10);
    for (alive(); xs_watch(ROOT, changed, NULL); pause_a_while())
        ;
    printf("ready\n");
    bh_svc_adopted();
    for (;;) {
        alive();
        if (look) {
            look = false;
            if (!scan()) {
                look = true;
                pause_a_while();
            }
            event_turn();
        } else {
            event_wait(0);
        }
    }
}
