/* SPDX-License-Identifier: MIT */
/* The streaming ELF loader. ELF-64, and ELF-32 for boot loaders (System V ABI). */
#include "domain/elf.h"
#include <errno.h>
#include <string.h>
#include <common/elf.h>
#include <xen/elfnote.h>

#define CLASS_32           1
#define CLASS_64           2
#define LITTLE_ENDIAN_DATA 1

struct ehdr32 {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct phdr32 {
    uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};
_Static_assert(sizeof(struct ehdr32) == 52 && sizeof(struct phdr32) == 32, "ELF-32 layouts");

void elf_begin(struct elf_stream *s, elf_write_fn write, void *arg, uint64_t limit)
{
    memset(s, 0, offsetof(struct elf_stream, head));
    s->write = write;
    s->arg = arg;
    s->limit = limit;
    s->low = ~0ull;
}

static int bad(struct elf_stream *s, const char *why)
{
    s->why = why;
    return -ENOEXEC;
}

static int add_load(struct elf_stream *s, const struct elf_phdr *p)
{
    if (p->filesz > p->memsz || p->offset + p->filesz < p->offset || p->paddr + p->memsz < p->paddr)
        return bad(s, "has a segment that makes no sense");
    if (s->nr_loads == ELF_SEGMENTS)
        return bad(s, "has too many segments");
    if (p->paddr < s->low)
        s->low = p->paddr;
    if (p->paddr + p->memsz > s->high)
        s->high = p->paddr + p->memsz;
    if (p->offset + p->filesz > s->file_end)
        s->file_end = p->offset + p->filesz;
    s->load[s->nr_loads].off = p->offset;
    s->load[s->nr_loads].len = p->filesz;
    s->load[s->nr_loads].writable = p->flags & PF_W;
    s->load[s->nr_loads++].gpa = p->paddr;
    return 0;
}

static int add_note(struct elf_stream *s, const struct elf_phdr *p)
{
    size_t room = (size_t)((p->filesz + 3) & ~3ull);
    if (s->nr_notes == sizeof(s->note) / sizeof(s->note[0]) || p->filesz > ELF_NOTES ||
        room > ELF_NOTES - s->notes_len || p->offset + p->filesz < p->offset)
        return bad(s, "has too many notes");
    s->note[s->nr_notes].off = p->offset;
    s->note[s->nr_notes].len = p->filesz;
    s->note[s->nr_notes++].at = s->notes_len;
    memset(s->notes + s->notes_len, 0, room);
    s->notes_len += room;
    if (p->offset + p->filesz > s->file_end)
        s->file_end = p->offset + p->filesz;
    return 0;
}

/* Where the program headers are, whichever class the file has. */
struct table {
    uint64_t phoff;
    unsigned phnum;
    bool wide;
};

static int read_header(struct elf_stream *s, size_t have, struct table *t)
{
    struct elf_header e;
    struct ehdr32 e32;

    if (have >= 518 && !memcmp(s->head + 514, "HdrS", 4)) /* Linux's boot.rst */
        return bad(s, "is a bzImage, its payload has to be unpacked first (mkbundle does that)");
    if (have < sizeof(e) || memcmp(s->head, "\177ELF", 4) != 0)
        return bad(s, "is no ELF file");
    memcpy(&e, s->head, sizeof(e));
    memcpy(&e32, s->head, sizeof(e32));
    t->wide = e.ident[4] == CLASS_64;
    s->i386 = e.machine == EM_386;
    /* The PVH entry is 32-bit code in any case, so a 64-bit program may come in either class. */
    if (e.ident[5] != LITTLE_ENDIAN_DATA ||
        !(e.machine == EM_X86_64 ? t->wide || e.ident[4] == CLASS_32
                                 : s->i386 && e.ident[4] == CLASS_32))
        return bad(s, "is no ELF file for x86");
    unsigned phentsize = t->wide ? e.phentsize : e32.phentsize;
    size_t size = t->wide ? sizeof(struct elf_phdr) : sizeof(struct phdr32);
    t->phoff = t->wide ? e.phoff : e32.phoff;
    t->phnum = t->wide ? e.phnum : e32.phnum;
    if (phentsize != size || t->phoff > have || t->phnum > (have - t->phoff) / size)
        return bad(s, "has its program headers out of reach");
    return 0;
}

static struct elf_phdr read_phdr(const struct elf_stream *s, const struct table *t, unsigned i)
{
    struct elf_phdr p;
    struct phdr32 q;

    if (t->wide) {
        memcpy(&p, s->head + t->phoff + i * sizeof(p), sizeof(p));
        return p;
    }
    memcpy(&q, s->head + t->phoff + i * sizeof(q), sizeof(q));
    return (struct elf_phdr){ .type = q.type,
                              .flags = q.flags,
                              .offset = q.offset,
                              .paddr = q.paddr,
                              .filesz = q.filesz,
                              .memsz = q.memsz };
}

static int parse_head(struct elf_stream *s, size_t have)
{
    struct table t;
    int rc = read_header(s, have, &t);

    if (rc)
        return rc;
    for (unsigned i = 0; i < t.phnum; i++) {
        struct elf_phdr p = read_phdr(s, &t, i);
        rc = 0;
        if (p.type == PT_LOAD && p.memsz)
            rc = add_load(s, &p);
        else if (p.type == PT_NOTE && p.filesz)
            rc = add_note(s, &p);
        if (rc)
            return rc;
    }
    if (!s->nr_loads)
        return bad(s, "has nothing to load");
    if (s->high > s->limit) {
        s->need = s->high;
        return bad(s, "does not fit into the domain's memory");
    }
    s->parsed = true;
    return 0;
}

/* The piece [pos, pos + len) of the file: whatever of it belongs to a segment or a note goes there.
 */
static int place(struct elf_stream *s, uint64_t pos, const uint8_t *data, size_t len)
{
    uint64_t end = pos + len;

    for (unsigned i = 0; i < s->nr_loads; i++) {
        uint64_t from = s->load[i].off > pos ? s->load[i].off : pos;
        uint64_t to = s->load[i].off + s->load[i].len < end ? s->load[i].off + s->load[i].len : end;
        if (from >= to)
            continue;
        int rc = s->write(s->arg, s->load[i].gpa + (from - s->load[i].off), data + (from - pos),
                          (size_t)(to - from));
        if (rc)
            return rc;
    }
    for (unsigned i = 0; i < s->nr_notes; i++) {
        uint64_t from = s->note[i].off > pos ? s->note[i].off : pos;
        uint64_t to = s->note[i].off + s->note[i].len < end ? s->note[i].off + s->note[i].len : end;
        if (from < to)
            memcpy(s->notes + s->note[i].at + (from - s->note[i].off), data + (from - pos),
                   (size_t)(to - from));
    }
    return 0;
}

int elf_feed(struct elf_stream *s, const void *data, size_t len)
{
    const uint8_t *p = data;

    if (!s->parsed) {
        size_t take = ELF_HEAD - (size_t)s->pos < len ? ELF_HEAD - (size_t)s->pos : len;
        memcpy(s->head + s->pos, p, take);
        s->pos += take;
        p += take;
        len -= take;
        if (s->pos < ELF_HEAD)
            return 0;
        int rc = parse_head(s, ELF_HEAD);
        if (!rc)
            rc = place(s, 0, s->head, ELF_HEAD);
        if (rc)
            return rc;
    }
    uint64_t at = s->pos;
    s->pos += len;
    return len ? place(s, at, p, len) : 0;
}

/* It would switch its local APIC off at boot, since it knows only the one in memory, and then wait for a timer that is not there. */
static bool is_linux32(const struct elf_stream *s)
{
    uint32_t len;
    const uint8_t *os = s->i386 ? elf_note(s->notes, s->notes_len, XEN_ELFNOTE_GUEST_OS, &len) : NULL;

    return os && len >= 5 && !memcmp(os, "linux", 5);
}

int elf_end(struct elf_stream *s)
{
    if (!s->parsed) { /* a file below 4 KiB */
        int rc = parse_head(s, (size_t)s->pos);
        if (!rc)
            rc = place(s, 0, s->head, (size_t)s->pos);
        if (rc)
            return rc;
    }
    if (s->pos < s->file_end)
        return bad(s, "is truncated");
    if (!elf_pvh_entry(s->notes, s->notes_len, &s->entry))
        return bad(s, "is no PVH kernel (no Xen note of type 18)");
    if (is_linux32(s))
        return bad(s, "is a 32-bit Linux: only 64-bit ones run here (docs/decisions.md, xAPIC)");
    if (s->entry < s->low || s->entry >= s->high)
        return bad(s, "has its PVH entry outside of its segments");
    return 0;
}
