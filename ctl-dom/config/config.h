/* SPDX-License-Identifier: MIT */
/*
 * Domain configurations in xl's syntax (settings.h) and the few keys of our own: role, image, keep, autostart, deadline. An unknown key or
 * device option is an error that names it with file and line, keys that xl has and that do nothing here are noted (known.def).
 *
 * Pure: no hypercalls.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <bulkhead.h>
#include <slot_table.h>
#include "config/findings.h"

#define CFG_MAX_VIFS   16
#define CFG_MAX_PCI    8
#define CFG_MAX_DISKS  16
#define CFG_VDEV       16u
#define CFG_CPUS       32u /* numbers of CPUs are below that */
#define AUTOSTART_LAST 99u
#define CFG_CPUS_TEXT  129u /* of cpus=, with its NUL */

enum cfg_action { ACTION_DESTROY = 0, ACTION_RESTART, ACTION_PRESERVE, ACTION_SOFT_RESET };

/* vslot, permissive: of a guest's; where it is to be seen (0: anywhere), and whether its own registers outside the header are let through. */
struct cfg_pci {
    uint32_t sbdf;
    bool all; /* its slot's functions, as many as there are */
    bool permissive;
    uint8_t vslot;
};

struct cfg_vif {
    uint8_t mac[6]; /* all zero: none yet, it is made from the UUID (identity.c) */
    bool has_mac;   /* chosen by the configuration */
    char bridge[BH_NAME_LEN];
    char backend[BH_NAME_LEN]; /* "": the first driver domain that runs `image = "net"` */
    bool any;                  /* it may send from whatever address */
    struct slot_vif slot;      /* VLANs, addresses */
    uint64_t rate;             /* bytes a second that the guest may send, 0: no limit */
    uint16_t mtu;              /* that its front-end is told, 0: that of its driver domain */
    uint32_t rate_us;          /* what it may send at once: as much as in this time */
    bool untrusted;            /* its front-end is told not to trust the back-end */
    bool leaving;              /* a detach was asked for: the guest's next life is without it */
};

/* What a disk's target is: a volume of a block driver domain, or of a Linux a block device, a file, an export of NBD. */
enum disk_kind { DISK_VOLUME, DISK_PHY, DISK_FILE, DISK_NBD };

struct cfg_disk {
    char backend[BH_NAME_LEN]; /* the domain that serves it, "": the only block driver domain that there is */
    char volume[112];    /* as it names its volumes; a path, or what NBD is told */
    uint8_t kind;        /* enum disk_kind */
    char vdev[CFG_VDEV]; /* xvda ..., whatever form the configuration has */
    char mode[3];        /* r, w, r!, w! */
    bool no_discard, untrusted;
    bool leaving; /* a detach was asked for: the guest's next life is without it */
    uint32_t devid;
    uint64_t limit_ops, limit_bytes; /* a second; 0: none */
};

/* One of a net driver domain's own. */
struct cfg_bridge {
    char name[BH_NAME_LEN];
    bool wire; /* one leads out: by the NIC sbdf */
    uint32_t sbdf;
};

struct domcfg {
    char name[BH_NAME_LEN];
    uint8_t uuid[16];       /* all zero: none yet */
    int32_t rtc_timeoffset; /* seconds that its clock is ahead of UTC, or of local time */
    struct cfg_vif vif[CFG_MAX_VIFS];
    unsigned nr_vifs;
    struct cfg_disk disk[CFG_MAX_DISKS];
    unsigned nr_disks;
    uint32_t pci[CFG_MAX_PCI];
    unsigned nr_pci;
    struct cfg_pci pci_said[CFG_MAX_PCI]; /* what the configuration says of some of them */
    uint8_t pci_all; /* a bit for each of pci: all functions of its slot are meant (domain/pci.h) */
    struct cfg_bridge bridge[SLOT_BRIDGES]; /* none: one, which bears the domain's name (domain/bridge.h) */
    unsigned nr_bridges;
    char cpus[CFG_CPUS_TEXT]; /* as it stands there, of a list with ; between its entries; "": all (config_cpus) */
    /* The keys that are one value each. 0 if it was not said: maxmem_mb (as much as memory_mb), maxvcpus (as many as vcpus), cap (none; else in
     * hundredths of one CPU); cpu_weight has 256 then. */
#define KEY_TEXT(key, member, size)          char member[size];
#define KEY_IMAGE(key, member, size)         char member[size];
#define KEY_NUMBER(key, member, min, max)    uint32_t member;
#define KEY_FLAG(key, member)                bool member;
#define KEY_CHOICE(key, member, type, names) type member;
#define KEY_ACTION(key, member)              enum cfg_action member;
#define KEY_SAME(key, member)
#define KEY_OWN(key, function)
#include "config/keys.def"
};

/* What was said of a device; NULL: nothing. */
static inline const struct cfg_pci *config_pci_said(const struct domcfg *c, uint32_t sbdf)
{
    for (unsigned i = 0; i < CFG_MAX_PCI; i++) {
        const struct cfg_pci *p = &c->pci_said[i];
        if ((p->vslot || p->permissive) && (p->all ? !((p->sbdf ^ sbdf) >> 3) : p->sbdf == sbdf))
            return p;
    }
    return NULL;
}

/* Whoever kept it may have written there before he ended: what others count by, and print. */
static inline bool config_sound(const struct domcfg *c)
{
    return c->name[0] && memchr(c->name, 0, sizeof(c->name)) && c->nr_vifs <= CFG_MAX_VIFS &&
           c->nr_disks <= CFG_MAX_DISKS && c->nr_pci <= CFG_MAX_PCI && c->nr_bridges <= SLOT_BRIDGES;
}

/* A net driver domain, or a vnet domain, which is one whose wire is a tunnel. */
static inline bool config_is_net(const struct domcfg *c)
{
    return c->role == BH_ROLE_DRIVER && (!strcmp(c->image, "net") || !strcmp(c->image, "vnet"));
}

/* What the memory map of a guest holds, and how many vCPUs there are for it. */
static inline uint32_t config_most_mb(const struct domcfg *c)
{
    return c->kernel[0] && c->maxmem_mb > c->memory_mb ? c->maxmem_mb : c->memory_mb;
}
static inline uint32_t config_most_vcpus(const struct domcfg *c)
{
    return c->maxvcpus > c->vcpus ? c->maxvcpus : c->vcpus;
}

/* c as the file and the words of the command (KEY=VALUE) have it, with all that there is to say: 0, or -EINVAL if an error is among that. */
int config_read(struct domcfg *c, const char *file, const char *text, size_t len, int nr_words,
                char *const *words, struct findings *found);
/* One such word changes c: 0, or -EINVAL with one line in err. */
int config_override(struct domcfg *c, const char *assignment, char *err, size_t n);
/* What must hold between the keys. */
int config_check(const struct domcfg *c, const char *file, char *err, size_t n);

/* One entry of pci= (config_pci.c): 0, and in err what of it does nothing, or ""; or -EINVAL and why. */
int config_pci(struct cfg_pci *d, const char *spec, char *err, size_t n);
/* What is said of a device that comes later, and be it nothing, counts as if the configuration said so. Returns what was said of it. */
struct cfg_pci config_pci_say(struct domcfg *c, const struct cfg_pci *d);
/* One entry of vif= (config_vif.c), which is cut into pieces: the same. */
int config_vif(struct cfg_vif *v, char *spec, char *err, size_t n);
/* One entry of bridges= more (config_bridge.c): 0, or -EINVAL and why; and what must hold between them and the other keys. */
int config_bridge(struct domcfg *c, const char *spec, char *err, size_t n);
int config_bridges_check(const struct domcfg *c, char *err, size_t n);
/* What must hold of a vnet's (config_vnet.c): 0, or -EINVAL and why. */
int config_vnet_check(const struct domcfg *c, char *err, size_t n);
/* One entry of disk= (config_disk.c): 0, or -EINVAL and why. */
int config_disk(struct cfg_disk *d, const char *spec, char *err, size_t n);
/* Where the vCPU may run by the text of cpus=, a bit for each CPU; 0, or -EINVAL and why (config_cpus.c). */
int config_cpus(const char *text, unsigned vcpu, uint32_t *cpus, char *err, size_t n);
/* A number, maybe with K, M or G (powers of 1024) behind it; false if it is none. */
bool config_amount(const char *text, uint64_t *v);
/* "xvda", "sdb1", "hdc", "d0p1", "51712", "0xca00" to the number of the virtual device (Xen: xen-vbd-interface(7)); false if it is none. */
bool config_vdev(const char *text, uint32_t *devid);
/* And back: "xvda", "sdb1", "hdc". false if no name stands for that number. */
bool config_vdev_name(uint32_t devid, char name[CFG_VDEV]);
