/* SPDX-License-Identifier: MIT */
/*
 * A streaming ELF loader: the file comes in pieces of any size, in order, and segments go out to
 * their physical addresses as they pass. Needs the header and program headers within the first 4
 * KiB, and takes the PVH entry from the Xen note of type 18 (XEN_ELFNOTE_PHYS32_ENTRY).
 *
 * Pure: no hypercalls.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_HEAD     4096
#define ELF_SEGMENTS 16
#define ELF_NOTES    8192

/* Writes len bytes at guest-physical address gpa; 0 or a negative errno. */
typedef int (*elf_write_fn)(void *arg, uint64_t gpa, const void *src, size_t len);

struct elf_stream {
    elf_write_fn write;
    void *arg;
    uint64_t limit;     /* segments must end at or below */
    uint64_t need;      /* after an error: they end here, above the limit; else 0 */
    const char *why;    /* after an error of the file: what is wrong */
    uint64_t pos;       /* bytes fed so far */
    uint64_t low, high; /* extent of the segments in memory */
    uint64_t file_end;  /* bytes that the file must have */
    uint64_t entry;     /* PVH entry, valid after elf_end */
    unsigned nr_loads, nr_notes;
    struct {
        uint64_t off, len, gpa;
        bool writable;
    } load[ELF_SEGMENTS];
    struct {
        uint64_t off, len, at;
    } note[4]; /* at: place in notes[] */
    size_t notes_len;
    bool parsed, i386;
    uint8_t head[ELF_HEAD];
    uint8_t notes[ELF_NOTES];
};

void elf_begin(struct elf_stream *s, elf_write_fn write, void *arg, uint64_t limit);
int elf_feed(struct elf_stream *s, const void *data, size_t len);
int elf_end(struct elf_stream *s);
