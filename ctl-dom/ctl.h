/* SPDX-License-Identifier: MIT */
/* What the files of the control domain share: the table of domains, and each file's interface. */
#pragma once
#include <bh.h>
#include <bulkhead.h>
#include <slot_table.h>
#include <stdio.h>
#include <talk.h>
#include "supervise/backoff.h"
#include "bundle/bundle.h"
#include "config/config.h"

#define MIB (1024ul * 1024)

/* --- errors: one line for the user, filled where it is known best ----------------------------- */
struct errbuf { char s[256]; };
/* returns rc */
int fail(struct errbuf *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *errno_text(int rc);

/* --- domains (dom.c) -------------------------------------------------------------------------- */
#define BACKLOG_SIZE 16384u

struct domcon {                  /* domcon.c */
    struct grant_map map;
    struct xencons_interface *ring; /* NULL: not connected */
    uint32_t port;
    char *log;                   /* the last BACKLOG_SIZE bytes of output */
    uint64_t written;            /* bytes ever written there */
    uint64_t budget, budget_at;  /* limit of output per time */
    bool cr;                     /* a carriage return waits for its newline */
};

enum life { LIFE_NEW = 0, LIFE_STARTING, LIFE_UP, LIFE_WAITING, LIFE_DEAD };

struct svc_seg {
    uint64_t gpa;
    const void *src;
    size_t len;
    bool writable;
};
/* An inflated image, kept for restarts and shared by all domains that run it. */
struct svc_image {
    char name[64];
    void *file;
    struct svc_seg seg[16]; /* ELF_SEGMENTS */
    unsigned nr_segs;
    uint64_t entry, high;
    struct svc_image *next;
};

/* A device that a driver domain serves, as it is plugged now (devices.c). */
enum dev_kind { DEV_VIF, DEV_VBD };
struct dom_dev {
    enum dev_kind kind;
    unsigned index;              /* of cfg.vif or cfg.disk */
    uint32_t devid;              /* a vif that is plugged again gets a new one */
    domid_t back;
    bool replug, stalled;
};

struct dom {
    struct dom *next;            /* in the order of domids */
    domid_t id;
    struct domcfg cfg;
    bool slot;                   /* restartable */
    bool in_store;               /* has nodes there */
    bool introduced;
    bool unnamed;                /* it was released, and nothing in the store names it any more */
    uint64_t console_gfn, store_gfn;
    uint32_t console_port, store_port;
    struct domcon con;
    struct dom_dev dev[CFG_MAX_VIFS + CFG_MAX_DISKS];
    unsigned nr_devs, next_vif;
    struct slot_entry *slots;    /* a driver domain's slot table: our copy (slots.c) */
    uint64_t slots_gpa;
    uint32_t slot_gen;           /* of the entry that was made last */
    char problem[240];           /* a driver domain's word about its device, "": none */
    char without[160];           /* the device of its configuration that it has not, and why, "": none */
    struct talk talk;            /* how often it may say one */

    /* restart: all that it needs is here before it happens */
    const struct svc_image *img;
    bool kept;                   /* code and constants are in place, immutable */
    uint8_t *boot_block;         /* start info, memory map, command line */
    char words[256];             /* the builder's words of the command line, less boot= */
    uint64_t instance;

    /* supervisor.c */
    enum life life;
    struct backoff backoff;
    unsigned stillborn;          /* in a row, before it said that it serves */
    uint64_t started_ns, noticed_ns, crash_ns, retry_ns, report_by_ns;
    uint64_t tried_ns;           /* when its next instance was begun */
    struct bh_report report;
    bool reported;               /* the end of this guest was dealt with */
    unsigned short_lives;        /* in a row: ends of this guest before it had lived a minute */
    uint64_t again_ns;           /* it has ended and is started again then; 0: no */
    bool asked;                  /* the restart was a command */
    bool ordered;                /* its death is: it is about to come */
    bool introduce;              /* it was brought back, the store is still to be told */
};

extern struct dom *doms;
struct dom *dom_by_id(domid_t id);
struct dom *dom_by_name(const char *name);       /* name or domid in digits */
struct dom *dom_find(const char *name, struct errbuf *e); /* the same, with the error line */
struct dom *dom_new(domid_t id, const struct domcfg *cfg);
void dom_forget(struct dom *d);
#define NO_DOMID 0xffffu
/* BH_DOMID_ANY for guests; NO_DOMID when slots are out */
domid_t slot_for(const struct domcfg *cfg);
struct dom *first_net_backend(void);

/* --- the bundle and configurations (load.c) --------------------------------------------------- */
extern struct bundle bundle;
/* NAME or NAME.cfg of the bundle, not checked yet */
int config_load(struct domcfg *c, const char *name, struct errbuf *e);
struct svc_image *svc_image_get(const char *name, struct errbuf *e);

/* --- builder (build.c, start_info.c) ---------------------------------------------------------- */
/* Builds, connects and starts a domain; on failure nothing of it stays. lenient: a driver domain
 * goes on without a device that it cannot have (said on the console). */
int dom_create(const struct domcfg *cfg, bool lenient, struct dom **out, struct errbuf *e);
/* Ends a domain of ours, with its nodes, rings and devices. */
int dom_destroy(struct dom *d, struct errbuf *e);
int guest_write(domid_t id, uint64_t gpa, const void *src, size_t len);
/* Start info and image into a service domain under construction, less what was kept. */
int service_write(struct dom *d);
/* leaves out pages of zeroes */
int guest_write_sparse(domid_t id, uint64_t gpa, const void *src, size_t len);

/* Start info, module list, memory map; a page further the command line. A service domain's are at BOOT_GPA. */
#define BOOT_GPA       0x1000ul
#define BOOT_BLOCK     0x2000ul
#define IMAGE_GPA      0x100000ul
/* Guests: ACPI tables, then console and xenstore page. The last page is where a PC's firmware has its
 * reset vector: boot loaders look there for what firmware it is, and find zeroes. */
#define SPECIAL_GPA    0xffff0000ul
#define SPECIAL_PAGES  16
#define ACPI_PAGES     8
#define CONSOLE_GPA    (SPECIAL_GPA + ACPI_PAGES * PAGE_SIZE)
#define XENSTORE_GPA   (CONSOLE_GPA + PAGE_SIZE)
#define LOW_RAM_END    0xc0000000ul /* RAM of a guest below 4 GiB ends here at most */

struct boot_map {
    uint64_t gpa;                /* where the block will be */
    uint64_t ram_bytes;
    bool guest;
    uint64_t rsdp, module_gpa, module_len;
};
/* Where a guest's goes, whose image ends at `high`. */
uint64_t boot_block_at(uint64_t high);
/* Fills the block of BOOT_BLOCK bytes that will lie at map->gpa. */
void boot_block_fill(uint8_t *block, const struct boot_map *map, const char *cmdline);
void service_cmdline(const struct dom *d, char *out, size_t n);

/* --- xenstore layout (store.c) ---------------------------------------------------------------- */
extern bool store_up;
/* control's own ring to the store: page, grant and port */
int store_prepare(struct dom *store, struct errbuf *e);
int store_connect(void);                                /* once the store runs */
int store_add_domain(struct dom *d, struct errbuf *e);  /* its directory, its devices, both sides */
int store_add_pci(struct dom *d, struct errbuf *e);
int store_introduce(const struct dom *d);
int store_release(const struct dom *d);
void store_remove_domain(struct dom *d); /* sets d->unnamed, if the store says so */
int store_control(const struct dom *d, const char *what); /* control/shutdown */

/* --- devices of driver domains (devices.c) ---------------------------------------------------- */
#define DEV_PATH 96
struct txn;
int devs_resolve(struct dom *d, struct errbuf *e);      /* finds who serves them; fills d->dev */
/* Whether all whom a guest of this configuration needs are there: 0, -ENOENT for one that is not, or what is wrong with its words. */
int devs_served(const struct domcfg *cfg, struct errbuf *e);
/* Who is to serve it: as its words name him, else the first net driver domain. NULL: nobody. */
struct dom *vif_backend(const struct cfg_vif *v);
#define VIF_MAC 18
static inline void mac_text(const uint8_t m[6], char text[VIF_MAC])
{
    snprintf(text, VIF_MAC, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}
void dev_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v);
void pci_nodes(struct txn *t, struct dom *d, void *arg);
void dev_paths(const struct dom *d, const struct dom_dev *v, char be[DEV_PATH], char fe[DEV_PATH]);
int store_wait_backends(const struct dom *d, struct errbuf *e);
int wait_backend(const struct dom *d, const struct dom_dev *v, struct errbuf *e); /* of one device */
uint64_t backend_state(const struct dom *d, const struct dom_dev *v); /* 0: none */
int disk_resolve(const struct dom *d, unsigned i, struct dom_dev *v, struct errbuf *e);
/* Their entries in the slot tables and, between the two steps of that, the nodes. */
int devs_attach(struct dom *d, void (*nodes)(struct txn *t, struct dom *d, void *arg), struct errbuf *e);
void devs_close(const struct dom *d);                   /* also takes the back-ends' nodes away */
/* The same devices again, from the beginning: for the next kernel of a guest that stands still. */
int devs_renew(struct dom *d, struct errbuf *e);
struct dom *devs_disk_user(const struct dom *b);
/* b runs, and is not the instance that its front-ends know: they are plugged again. */
void devs_driver_up(struct dom *b);
void devs_driver_gone(struct dom *b);
void devs_work(void);                                   /* from the main loop */

/* --- slot tables (slots.c) -------------------------------------------------------------------- */
/* The pages at gfn of a driver domain under construction become its slot table. */
int slots_init(struct dom *b, uint64_t gfn);
/* The steps of an attach and a detach in their order; each may be done again. No store access but
 * for slot_extent, which copies what the back-end found, if that is not known yet. */
int slot_attach(const struct dom *d, const struct dom_dev *v, struct errbuf *e);
void slot_attached(const struct dom *d, const struct dom_dev *v);
void slot_extent(const struct dom *d, const struct dom_dev *v);
void slot_limits(const struct dom *d, const struct dom_dev *v); /* as the configuration has them */
void slot_detaching(const struct dom *d, const struct dom_dev *v);
void slot_remove(const struct dom *d, const struct dom_dev *v);
/* Whether there is an entry of that guest. What is left of one that is gone goes with the next attach. */
static inline bool slots_name(domid_t id)
{
    for (const struct dom *b = doms; b; b = b->next)
        for (unsigned i = 0; b->slots && i < SLOT_ENTRIES; i++)
            if (slot_live(&b->slots[i]) && b->slots[i].domid == id)
                return true;
    return false;
}

/* --- PCI (pci.c) ------------------------------------------------------------------------------ */
bool pci_find(uint32_t sbdf, struct bh_pci_info *out);
bool pci_owned(domid_t id, unsigned n, struct bh_pci_info *out); /* n-th device of id */
const char *sbdf_text(uint32_t sbdf);
int pci_attach(struct dom *d, uint32_t sbdf, struct errbuf *e);
void pci_detach_all(const struct dom *d);

/* --- physical console (console.c) ------------------------------------------------------------- */
void console_open(void);
void con_write(const char *s, size_t len); /* waits only where more than 64 KiB of it wait for the wire */
bool con_busy(void);             /* some of it waits for the wire */
/* output of the command that runs */
void out(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* a line from behind the scenes: never tears the prompt */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int con_peek(void);              /* the next byte from the keyboard; -1: none */
void con_getc(void);             /* takes it */
/* drops what comes before the next c; false: there is none, nothing dropped */
bool con_skip_to(unsigned char c);
void con_drop_input(void);       /* what has come from the keyboard until now */
void con_core_log(void);         /* prints new lines of the core's log */
void dmesg(const struct dom *d); /* NULL: the core's log; else the last words of d outside of its console */
/* What say() does now: PLAIN prints, EDITING goes around the prompt, HELD keeps lines until the
 * console is left. */
enum con_mode { CON_PLAIN, CON_EDITING, CON_HELD };
void con_set_mode(enum con_mode m);

/* --- consoles of the domains (domcon.c) ------------------------------------------------------- */
int domcon_connect(struct dom *d, struct errbuf *e);
void domcon_drain(struct dom *d);
void domcon_restart(struct dom *d); /* the ring's page was zeroed */
void domcon_disconnect(struct dom *d);
/* prints the backlog; from now on its output goes to the wire */
void domcon_attach(struct dom *d);
struct dom *domcon_attached(void);
void domcon_leave(void);
bool domcon_key(unsigned char c);   /* false: no room now, try again */
void domcon_last_line(const struct dom *d, char *buf, size_t n);

/* --- supervisor (supervisor.c) ---------------------------------------------------------------- */
void supervisor_init(void);
/* looks at the state of every domain; restarts at once what is to be restarted */
void supervisor_scan(void);
void supervisor_watch(struct dom *d); /* it was unpaused: tell when it is up */
bool supervisor_all_up(void);
void supervisor_list_crashes(const char *name);
bool supervisor_restarts(const struct dom *d); /* in place */
int supervisor_restart(struct dom *d, struct errbuf *e);
int supervisor_crash(struct dom *d, uint32_t how); /* BH_CRASH_*: a death that counts for nothing */
/* One turn of everything but the keyboard, for those who wait for something. */
void turn(uint64_t until_ns);

/* --- ends of guests (guests.c) ---------------------------------------------------------------- */
void guests_init(void);
void guests_look(void); /* one has ended */
/* What may wait: the end of one guest, or its next start. True: call again soon, there may be more; keys go first. */
bool guests_work(void);
/* It was destroyed: who served it is to let go of its pages; then, if the store has let go of it, the core may use its domid again. */
void guests_destroyed(const struct dom *d);

/* --- what starts by itself (autostart.c) ------------------------------------------------------ */
void autostart(enum bh_role role);         /* at boot: the configurations with autostart and this role */
void autostart_look(void);                 /* a driver domain was made */
/* Starts a guest that waited for it. True: call again soon, there may be more; keys go first. */
bool autostart_work(void);
void autostart_list(void);                 /* prints a line for each that waits */
bool autostart_forget(const char *name);   /* it waits no more; false: it did not */

/* --- shell (shell.c, commands.c, info.c) ------------------------------------------------------ */
void shell_run(void) __attribute__((noreturn));
#define MAX_ARGS 16
struct command {
    const char *name, *args, *help;
    int min_args, max_args;
    void (*run)(int argc, char **argv); /* argv[0]: the command */
};
extern const struct command commands[];
extern const unsigned nr_commands;
void cmd_list(int argc, char **argv);
void cmd_info(int argc, char **argv);
void cmd_pci_assignable_list(int argc, char **argv);
void cmd_pci_list(int argc, char **argv);
void cmd_pci_attach(int argc, char **argv);
/* devinfo.c */
void driver_problem(const struct dom *b); /* prints a line about its device, if there is anything wrong */
void cmd_volumes(int argc, char **argv);
void cmd_block_list(int argc, char **argv);
void cmd_block_stats(int argc, char **argv);
struct dom_dev *disk_of(struct dom *d, const char *vdev); /* in any form that a configuration may have it */
/* hotplug.c */
void cmd_block_attach(int argc, char **argv);
void cmd_block_detach(int argc, char **argv);
void cmd_block_limit(int argc, char **argv);
void cmd_network_list(int argc, char **argv);
