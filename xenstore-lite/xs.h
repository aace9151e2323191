/* SPDX-License-Identifier: MIT */
/*
 * The store without its domain: connections, watches, transactions and requests over the tree (tree.h). Nothing in here
 * makes a hypercall, so the native tests and the fuzzer link all of it; conn.c and main.c are the glue.
 *
 * A request is served in two halves. The first half (the handlers in ops.c, admin.c, tx.c) looks at the state and
 * fills a struct req: the reply, and the change it wants as a list, a prepared edit, a watch to add or to drop,
 * a transaction to open or to end. It allocates all that the change needs and alters nothing. The second half
 * (req_commit) cannot fail. What is changed is put into the journal's record (journal.h) where it is changed; stream.c commits it before
 * the client can see anything of it. Exceptions, all the control domain's: introduce and set-target act on
 * the connection that they name at once (the outside world may refuse), and so do permissions of a special name and settings. That a domid was
 * released and may be named again (`gone`) is noted at once, too.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>
#include "tree.h"

/* Limits of a guest, until others are set (settings.c). Those of a driver domain follow from what it offers (accounts.c); the control domain
 * has none but memory. */
#define QUOTA_NODES     1000
#define QUOTA_NODE_SIZE 2048
#define QUOTA_NODE_MEM  (160 * 1024) /* of all nodes it owns, by node_cost() */
#define QUOTA_WATCHES   128
#define QUOTA_TX        10
#define QUOTA_TX_OPS    512         /* changes and looked-at paths in one transaction, each */
#define QUOTA_WORK_MEM  (96 * 1024) /* of its watches and transactions */
#define QUOTA_PERMS     5           /* entries in one node's list */
#define PRIV_PERMS      8 /* the control domain's: no node is larger in the journal than in memory */
#define QUOTA_OUT \
    (32 * 1024) /* queued replies and events; beyond, a watch has one event at a time: "look again" */
#define OUT_HIGH 4096 /* with more than this queued, no further request is taken */
#define PRIV_OUT \
    (64 * 1024) /* replies wait behind events: no longer a queue than a call may take */
#define PRIV_RESERVE \
    (384 * 1024) /* of the store's memory, or an eighth if that is more: the control domain's own */

/* What the quotas above are counted in is not what memory is handed out in: chunks (mem.h). `floor` of them are set aside when a
 * client is introduced, whatever the others hold. */
struct limits {
    uint32_t nodes, watches, txs, tx_ops, perms, node_size, node_mem, work_mem, out;
    unsigned floor, max; /* chunks */
};
#define XS_GUESTS      200u /* as many as the core runs (MAX_GUESTS in hv/domain/domain.c) */
#define XS_DRIVERS     13u
#define XS_FIRST_GUEST 16u /* BH_FIRST_GUEST in hv/abi/public/bulkhead.h */

/* What a client takes is counted in bytes, those of the journal too (journal_cost); a request costs beyond its own ... */
#define REQUEST_CHARGE 112
#define WORK_CHARGE    4    /* ... for each node copied, compared or visited, each event */
#define TURN_BUDGET    4096 /* of one connection before the next has its turn */

/* What the ring page says that we can (xs_wire.h). Later versions of that header have the third: a watch may be limited in depth. */
#define XS_FEATURE_WATCHDEPTH 4u
#define XS_FEATURES \
    (XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR | XS_FEATURE_WATCHDEPTH)

/* --- connections --------------------------------------------------------------------------------------------- */
#define WATCH_ALL 0xffffu
struct watch;
struct outmsg {
    struct outmsg *next;
    struct watch *w;          /* the watch whose event it is, while both exist */
    struct outmsg *next_of_w; /* its next event */
    uint32_t len, off;        /* off: how much is in the ring already */
    unsigned char b[];        /* header and payload */
};
#define OUT_OVERHEAD \
    ((uint32_t)sizeof(struct outmsg) + 40) /* what a message costs beyond its bytes */
#define ACK_PAYLOAD 48                     /* every reply that comes with a change fits into this */

struct watch {
    struct watch *next;
    struct conn *conn;
    struct watch *same; /* the next of this client on this path */
    struct watch *behind,
        *before; /* of those whose paths have one hash: first ones of their clients only */
    uint32_t hash;
    struct outmsg *queued, **queued_tail; /* its events that wait, in order */
    uint32_t id;                          /* the journal's name for it, one of its client's */
    bool missed;    /* an event did not go out: one with its own path follows */
    uint16_t rel;   /* leading characters that its owner does not see */
    uint16_t depth; /* levels below its path that it hears of, or WATCH_ALL */
    uint32_t path_len;
    const char *token; /* behind path */
    char path[];
};

enum change_op { CH_WRITE, CH_MKDIR, CH_RM, CH_PERMS };
struct change {
    struct change *next;
    enum change_op op;
    uint32_t len;
    const char *path;
    const void *data;
    struct permset *perms; /* CH_PERMS: the new ones; in a transaction also what a node that is made gets */
    uint32_t path_len; /* these two in a transaction only */
    uint32_t existed;  /* how much of the path there was before: what is longer was made by this */
};

#define ACC_SELF     1u /* existence, data, permissions */
#define ACC_CHILDREN 2u /* the list of children */
#define ACC_TREE     4u /* anything at or below */
struct access {
    struct access *next;
    unsigned kind;
    bool there;
    uint64_t gen, cgen, tgen; /* the node's at the first look */
    char path[];
};

struct tx {
    struct tx *next;
    uint32_t id;
    struct change *log, **log_tail;
    struct access *acc;
    unsigned nr_log, nr_acc;
    uint32_t bytes;
    bool doomed; /* open when an instance died: what it looked at is not known any more, so it ends with EAGAIN */
};

/* What a request sees at a path: a node of the tree, or what its transaction made of it. */
struct seen {
    const char *path;
    size_t path_len;
    struct permset *perms; /* NULL: there is nothing */
    struct permset *rights; /* what decides who may: the tree's of now, whatever the transaction noted for later */
    const char *data;
    uint32_t len;
    const struct node *node; /* the tree's, whose children show; NULL: it was not there, or the transaction removed it */
    const struct change *made; /* the change that made it, or NULL */
};

enum conn_bad { CONN_OK = 0, CONN_BAD_INDEX, CONN_BAD_LENGTH };

struct conn {
    struct conn *next;
    uint16_t domid;
    char home[24]; /* "/local/domain/16/": where its relative paths begin */
    uint32_t home_len;
    int32_t target; /* a domid whose rights it has too, or -1 */
    bool privileged;
    const struct limits *limits;
    struct heap *heap;
    bool named;    /* that it is at its limit has been said, since it was introduced */
    bool bad_said; /* and that its ring makes no sense */
    bool kicked;   /* something may have happened since its last turn */
    enum {
        SURE,
        IN_DOUBT,
        DUE
    } doubt;        /* IN_DOUBT: something did in its last turn; DUE: xs_look_again looks at it */
    int32_t credit; /* work that it may cause before the others have their turns */
    enum conn_bad bad; /* ignored until its connection begins anew */
    enum {
        SERVED,
        ASIDE,
        COMES_BACK
    } aside; /* aside.c: ignored until it gets another chance; COMES_BACK: it has, in its next turn */
    struct watch *watches, **watch_tail;
    unsigned nr_watches;
    struct tx *txs;
    unsigned nr_txs;
    uint32_t next_tx, next_watch;
    uint32_t work_bytes; /* watches and transactions */
    struct outmsg *out, **out_tail;
    uint32_t out_bytes;   /* with OUT_OVERHEAD for each message */
    uint32_t lost_events; /* told by a later event that names the watch only */
    unsigned nr_missed;   /* watches with `missed` */
    struct {              /* a reply that must not need memory */
        struct outmsg m;
        unsigned char b[sizeof(struct xsd_sockmsg) + 16];
    } spare;
    bool spare_used;
    /* The request on its way in: stream.c */
    struct xenstore_domain_interface *ring;
    struct xsd_sockmsg hdr;
    uint32_t hdr_got, body_got;
    unsigned char *body; /* NULL while none is needed, or none was to be had */
    void *glue;          /* conn.c's */
    /* What a next instance of the store finds it by, and the two indices as they were stored last. */
    uint64_t gfn;
    uint32_t port, req_cons, rsp_prod;
};

/* What the domain around does. Each returns 0, or fails (negative) without a trace. The page's words are stream.c's matter. */
struct xs_ops {
    int (*attach)(struct conn *c, uint64_t gfn, uint32_t port); /* a new connection: sets c->ring */
    int (*reattach)(struct conn *c, uint64_t gfn,
                    uint32_t port); /* introduced again; 1: it goes on as it was */
    void (*detach)(struct conn *c);
    void (*notify)(struct conn *c);                      /* the indices of its ring moved */
    void (*say)(const struct conn *c, const char *what); /* to the administrator, in a line */
};

struct xs {
    struct node *root; /* the tree */
    uint64_t gen;
    struct usage *usage; /* per owner, sorted by nothing */
    unsigned nr_usage, cap_usage;
    struct conn *conns, **conn_tail;
    unsigned nr_conns;
    struct conn *ctl; /* the privileged one */
    struct conn *fresh; /* introduced by the request at hand: its page is made ready when the journal says so */
    bool fresh_zero;            /* ... with indices of 0 */
    bool doubt;                 /* somebody is IN_DOUBT */
    struct permset *special[2]; /* @introduceDomain, @releaseDomain */
    const struct xs_ops *ops;
    unsigned read; /* enum journal_part */
    uint64_t nr_requests;
    uint32_t log;                 /* each request is said */
    uint8_t gone[(1u << 15) / 8]; /* a bit for each domid that was released: only the control domain can name it */
};

/* --- one request --------------------------------------------------------------------------------------------- */
struct req {
    struct xs *xs;
    struct conn *conn;
    struct xsd_sockmsg hdr;
    const char *in;    /* hdr.len bytes */
    struct tx *tx;     /* the request's transaction, or NULL */
    const char *path;  /* in xs-wide scratch: the canonical path of the request */
    uint32_t path_rel; /* how much of it was prepended */
    /* the effect */
    struct edit edit;
    bool edited;        /* edit is to become the tree */
    struct tx *end_tx;  /* also when the answer is an error */
    struct change one;  /* the change of a request outside a transaction; log points to it */
    struct change *log; /* what to announce; in a transaction: what to append */
    bool own_log;       /* log was made for this request */
    struct watch *add_watch, **drop_watch;
    struct tx *new_tx;
    bool reset; /* XS_RESET_WATCHES */
    struct conn *release;
    uint16_t gone;       /* a guest that is to be forgotten, or 0 ... */
    bool named;          /* ... and somebody's node names it */
    const char *special; /* path to announce, of this domain: */
    uint16_t special_domid;
    uint32_t out_len; /* reply payload, in xs_reply_buf */
};

typedef int (*xs_handler)(struct req *r);

/* accounts.c: what each may have, what each has */
extern struct limits limits_guest;
extern const struct limits limits_driver, limits_ctl;
void limits_init(void); /* a guest's, as they are at first */
struct usage *xs_usage(struct xs *xs, uint16_t domid,
                       bool create); /* create: in the room that reserve made */
int xs_usage_reserve(struct xs *xs,
                     const struct edit *e); /* makes sure that committing e needs no memory */
/* Whether the client's accounts are within bounds after e. Only what grows is refused: a domain over its limit may shrink. */
int check_domain_quota(struct req *r, const struct edit *e);

/* settings.c: what can be set meanwhile */
#define SETTINGS    10u
#define SETTING_LOG UINT32_MAX
struct setting {
    const char *name, *what;
    size_t at; /* in a guest's limits, or SETTING_LOG */
    uint32_t least, most;
};
extern const struct setting settings[SETTINGS];
uint32_t setting_get(const struct xs *xs, unsigned i);
bool setting_set(struct xs *xs, uint32_t i, uint32_t value); /* false: there is none, or out of bounds */
void settings_snapshot(const struct xs *xs);

/* payload.c: what a request carries, what its reply will */
extern char xs_reply_buf[XENSTORE_PAYLOAD_MAX];
extern const char *const xs_err_name[XE_NR];
void req_reply(struct req *r, const void *data, uint32_t len);
/* NUL-terminated strings at the start of the payload, at most max; *rest = what follows them. */
unsigned req_strings(const struct req *r, const char **v, unsigned max, uint32_t *rest);
/* The one string that is the whole payload, or NULL. */
const char *req_string(const struct req *r);
bool parse_u32(const char *s, uint32_t max, uint32_t *v);

/* change.c: one change of the tree */
uint32_t change_cost(const struct change *c);
struct change *change_copy(struct heap *h, const struct change *c);
void changes_free(struct change *c);
int change_apply(struct edit *e, const struct change *c, int owner);
int change_owner(const struct conn *c);

/* out.c: what waits to be sent */
struct outmsg *out_new(struct conn *c, const struct xsd_sockmsg *hdr, uint32_t payload_room);
void out_push(struct conn *c, struct outmsg *m);

/* client.c: connections */
/* NULL also if its first chunks cannot be set aside. */
struct conn *conn_new(struct xs *xs, uint16_t domid, const struct limits *limits);
/* With the indices of its page as they are, or with 0, which they are going to be: a next instance finds them in the journal. */
void conn_begins(struct conn *c, bool zero);
void conn_limit(const struct xs *xs, struct conn *c,
                const char *what); /* it is at its limit: said once */
struct conn *conn_find(struct xs *xs, uint16_t domid);
/* The client has n more bytes of what waits. False: there are not that many (all of them are gone). follow: events that were missed get
 * their turn. */
bool out_sent(struct conn *c, uint32_t n, bool follow);
void out_drop(struct conn *c);
void conn_reset(struct conn *c); /* forgets partial message, watches, transactions, output */
void conn_free(struct xs *xs, struct conn *c);
struct conn *conn_rotate(struct xs *xs); /* the first one, which becomes the last */

/* xs.c: the store as a whole */
int store_init(struct xs *xs, const struct xs_ops *ops);
void store_fini(struct xs *xs);
/* Strikes a guest out of all permissions, those in open transactions too. `tree`: nodes name it; it owns none. */
void xs_forget(struct xs *xs, uint16_t domid, bool tree);
/* Permissions that c is about to give: whoever is gone gets nothing, until the control domain names a new one. */
void xs_names(struct xs *xs, const struct conn *c, struct permset *p);

/* check.c */
int xs_check(struct xs *xs);   /* looks at everything; 0: it is sound */
extern const char *xs_unsound; /* else: what is not */

/* proto.c: requests */
void xs_handle(struct xs *xs, struct conn *c, const struct xsd_sockmsg *hdr, const void *payload);
void xs_refuse(struct conn *c, const struct xsd_sockmsg *hdr,
               int err); /* an error reply out of the spare */

/* path.c */
bool path_char(char c);         /* may stand in a path */
bool path_valid(const char *p); /* well formed and absolute */
enum path_kind {
    PATH_NODE,
    PATH_SPECIAL, /* @introduceDomain and @releaseDomain are names too */
    PATH_WATCH,   /* so is @releaseDomain/DOMID */
};
/* Sets r->path. XE_EINVAL for anything malformed. */
int req_path(struct req *r, const char *name, enum path_kind kind);
const char *special_name(unsigned i);
int special_index(const char *path);       /* 0, 1 or -1 */
bool path_special_watch(const char *path); /* one of the names of PATH_WATCH that are no nodes' */

/* perms.c */
unsigned perms_for(const struct permset *p, const struct conn *c);
int perms_parse(struct heap *h, const char *s, uint32_t len, struct permset **out); /* "n0\0r5\0" */
uint32_t perms_format(const struct permset *p, char *buf, uint32_t n); /* 0: does not fit */

/* ops.c: nodes */
int op_directory(struct req *r);
int op_directory_part(struct req *r);
int op_read(struct req *r);
int op_write(struct req *r);
int op_mkdir(struct req *r);
int op_rm(struct req *r);
int op_get_perms(struct req *r);
int op_set_perms(struct req *r);

/* tx.c: transactions */
int op_transaction_start(struct req *r);
int op_transaction_end(struct req *r);
struct tx *tx_find(const struct conn *c, uint32_t id);
int tx_access(struct req *r, const char *path, size_t len, unsigned kind);
/* True if there is something at the first len characters of path; s is set in any case and points to path. */
bool see(const struct req *r, const char *path, size_t len, struct seen *s);
size_t see_nearest(const struct req *r, const char *path, size_t len,
                   struct seen *s); /* as tree_nearest */
void see_names(const struct req *r, const struct seen *s,
               void (*fn)(const char *name, uint32_t len, void *arg), void *arg);
uint32_t seen_size(const struct req *r, const struct seen *s); /* for the node size quota */
void tx_append(struct conn *c, struct tx *tx, struct change *ch);
void tx_open(struct conn *c, struct tx *tx);
void tx_free(struct conn *c, struct tx *tx);
void txs_drop(struct conn *c);

/* watch.c */
void watch_init(void); /* nobody watches anything */
int op_watch(struct req *r);
int op_unwatch(struct req *r);
int op_reset_watches(struct req *r);
void watch_link(struct conn *c, struct watch *w);
void watch_add(struct conn *c, struct watch *w); /* and its first event */
void watches_drop(struct conn *c);
bool watches_sound(const struct conn *c, uint32_t *bytes); /* adds what they cost */
void watch_drop(struct conn *c, struct watch **at);
struct watch *watch_new(struct conn *c, const char *path, uint32_t rel, const char *token,
                        uint32_t depth);
struct watch **watch_of_id(struct conn *c, uint32_t id); /* NULL: there is none */
void watch_queue(struct watch *w, struct outmsg *m);     /* m is an event of it */
void watch_missed(struct conn *c, struct watch *w, bool missed);
void watches_missed(struct conn *c); /* all of them */
void watch_event_sent(struct conn *c, struct outmsg *m, bool follow);
void watch_retry(struct conn *c); /* events that found no memory */
extern uint32_t watch_seed; /* any number that clients cannot know, set before the first watch */
void watch_fire(const struct change *c, struct node *before, struct node *after);
void watch_fire_special(struct xs *xs, const char *name, uint16_t domid);

/* admin.c: connections */
int op_introduce(struct req *r);
int op_release(struct req *r);
int op_is_introduced(struct req *r);
int op_get_domain_path(struct req *r);
int op_resume(struct req *r);
int op_set_target(struct req *r);

/* control.c */
int op_control(struct req *r);

/* stream.c: bytes in, bytes out */
struct served {
    bool notify; /* an index moved */
    bool more;   /* the budget ran out with work left */
    uint32_t used;
};
/* Takes requests from the ring until they have cost about `budget` (bytes and work) and answers them; sends what fits. */
struct served stream_serve(struct xs *xs, struct conn *c, uint32_t budget);
/* One turn for everybody that has something to do, the control domain after each. True: there is more. */
bool xs_turns(struct xs *xs);
/* Whoever did something since (xs->doubt: somebody did) gets a turn without a notification by the next xs_look_again, unless it does something until
 * then. That is to be called once the stores that a client made before it read our indices must have arrived. */
void xs_look_later(struct xs *xs);
void xs_look_again(struct xs *xs);
/* The page of a connection that begins, when that is in the journal. */
/* The journal knows nothing of this ring. True: a former instance served it, so what is on its way there begins anywhere; its client is told to begin anew. */
bool stream_unknown(struct conn *c);
void stream_init_page(struct xenstore_domain_interface *r, bool zero);
/* One that the journal has, its page mapped again: goes on at the very byte at which the dead instance left its ring. False: where that is, is not known;
 * what was on its way is lost. */
bool stream_adopt(struct conn *c);

/* aside.c: whose fault a death was */
/* Notes whose the last life's was, unless it came by order. After xs_restore, before any ring is touched; now: system time in ns. */
void aside_begin(struct xs *xs, uint64_t now, bool ordered);
void aside_working(const struct conn *c); /* from here on it is this client's; NULL: nobody's */
void aside_look(struct conn *c);          /* sets c->aside, of one that is introduced */
bool aside_again(struct xs *xs, uint16_t domid); /* another chance; false: it is not put aside */
void aside_forget(uint16_t domid);               /* whoever has that domid next did nothing */
uint32_t aside_list(const struct xs *xs, char *buf,
                    uint32_t size); /* domids as text, each with its NUL */

/* snapshot.c: into the journal */
void journal_conn(const struct conn *c); /* introduced, or again */
void journal_note(const struct conn *c, const struct tx *tx,
                  const struct change *ch); /* of a transaction */
void journal_tree(const struct req *r);     /* the changes that r->edit makes */
void journal_out(const struct conn *c, const struct outmsg *m);
void journal_special(const struct xs *xs, unsigned i);
/* Nothing that a client can see may be stored with something before it that is not committed. */
void xs_commit(const struct xs *xs);
void xs_snapshot(const struct xs *xs); /* the whole state, into the other half */

/* restore.c: out of it */
/* What the journal has, into a fresh store, but for rings; xs->read says how much of it was read: less where instances died in that (`ordered`: the last one
 * by order). The number of entries that made no sense or found no memory, or -1: it has nothing. */
int xs_restore(struct xs *xs, bool ordered);
