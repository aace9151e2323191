/* SPDX-License-Identifier: MIT */
/*
 * A QEMU plugin: counts the instructions that the machine executes, by translated block, in a file that the bench maps and reads while
 * the machine runs. Whose a block is, its bytes tell: those of an image's text at that address; anything else is the guest.
 *   -plugin count.so,out=FILE,text=ADDRESS:FILE OFFSET:BYTES:PATH,text=...
 * Class 0 is the guest, the n-th text is class n. A block that an exception leaves early is counted whole.
 * The interface is QEMU's (qemu-plugin.h, version 1: QEMU 4.2 to 8.2), which no package holds: what is used of it is declared here.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t at);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*fn)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
enum { INLINE_ADD_U64 };
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *counter,
                                              uint64_t add);

#define PUBLIC __attribute__((visibility("default")))
PUBLIC int qemu_plugin_version = 1;
PUBLIC int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

#define MAX_BLOCKS (1u << 20)
#define MAX_TEXTS  16u

struct block {
    uint64_t at;
    uint32_t class, insns;
    uint64_t count; /* of executed instructions, not of executions */
};
static struct out {
    uint64_t nr, lost; /* lost: blocks without a record; their instructions are not counted */
    struct block block[MAX_BLOCKS];
} * out;
static struct text {
    uint64_t at, bytes;
    const uint8_t *data;
} text[MAX_TEXTS];
static unsigned nr_texts;
static uint32_t index_of[2 * MAX_BLOCKS]; /* by hash; number + 1 */

static bool lies_in(const struct text *t, const struct qemu_plugin_tb *tb)
{
    uint64_t off = qemu_plugin_tb_vaddr(tb) - t->at;

    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t n = qemu_plugin_insn_size(insn);
        if (off >= t->bytes || n > t->bytes - off ||
            memcmp(t->data + off, qemu_plugin_insn_data(insn), n) != 0)
            return false;
        off += n;
    }
    return true;
}

static uint32_t class_of(const struct qemu_plugin_tb *tb)
{
    for (unsigned i = 0; i < nr_texts; i++)
        if (lies_in(&text[i], tb))
            return i + 1;
    return 0;
}

/* The record of such a block: blocks are translated again and again. */
static struct block *record(uint64_t at, uint32_t class, uint32_t insns)
{
    uint64_t h = (at * 0x9e3779b97f4a7c15ull ^
                  ((uint64_t) class << 32 | insns) * 0xc2b2ae3d27d4eb4full) >>
                 43;

    for (;; h++) {
        uint32_t *i = &index_of[h % (2 * MAX_BLOCKS)];
        struct block *b = *i ? &out->block[*i - 1] : NULL;
        if (b && (b->at != at || b->class != class || b->insns != insns))
            continue;
        if (b || out->nr == MAX_BLOCKS)
            return b;
        b = &out->block[out->nr];
        *b = (struct block){ at, class, insns, 0 };
        *i = (uint32_t)++out->nr;
        return b;
    }
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint32_t n = (uint32_t)qemu_plugin_tb_n_insns(tb);
    uint32_t class = class_of(tb);
    struct block *b = record(class ? qemu_plugin_tb_vaddr(tb) : 0, class,
                             n); /* the guest's are too many, and its own matter */

    (void)id;
    if (b)
        qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &b->count, n);
    else
        out->lost++;
}

static void *map_file(const char *path, int flags, size_t bytes, off_t off)
{
    int fd = open(path, flags, 0600);
    void *at = MAP_FAILED;

    if (fd >= 0 && (flags == O_RDONLY || !ftruncate(fd, (off_t)bytes)))
        at = mmap(NULL, bytes, flags == O_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE,
                  flags == O_RDONLY ? MAP_PRIVATE : MAP_SHARED, fd, off);
    if (fd >= 0)
        close(fd);
    return at == MAP_FAILED ? NULL : at;
}

/* ADDRESS:FILE OFFSET:BYTES:PATH; the offset is that of a page. */
static bool add_text(const char *arg)
{
    unsigned long long at, off, bytes;
    int n = 0;

    if (nr_texts == MAX_TEXTS || sscanf(arg, "%llx:%llx:%llx:%n", &at, &off, &bytes, &n) != 3 || !n)
        return false;
    struct text *t = &text[nr_texts++];
    *t = (struct text){ at, bytes, map_file(arg + n, O_RDONLY, bytes, (off_t)off) };
    return t->data != NULL;
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        bool good = false;
        if (!strncmp(argv[i], "out=", 4))
            good = (out = map_file(argv[i] + 4, O_RDWR | O_CREAT | O_TRUNC, sizeof *out, 0)) != NULL;
        else if (!strncmp(argv[i], "text=", 5))
            good = add_text(argv[i] + 5);
        if (!good) {
            fprintf(stderr, "count: cannot use %s\n", argv[i]);
            return -1;
        }
    }
    if (!out)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
