/* SPDX-License-Identifier: MIT */
/* Notes of an ELF image. Pure: reads nothing outside of what it was given. */
#include "common/elf.h"
#include <xen/elfnote.h>
#include "common/string.h"

const uint8_t *elf_note(const void *notes, uint64_t size, uint32_t type, uint32_t *len)
{
    const uint8_t *at = notes;
    struct {
        uint32_t namesz, descsz, type;
    } n;
    for (uint64_t off = 0; elf_inside(off, sizeof n, size);) {
        memcpy(&n, at + off, sizeof n);
        uint64_t name = off + sizeof n, desc = name + ((uint64_t)n.namesz + 3) / 4 * 4;
        if (!elf_inside(desc, n.descsz, size))
            return NULL;
        if (n.type == type && n.namesz == 4 && !memcmp(at + name, "Xen", 4)) {
            *len = n.descsz;
            return at + desc;
        }
        off = desc + ((uint64_t)n.descsz + 3) / 4 * 4;
    }
    return NULL;
}

bool elf_pvh_entry(const void *notes, uint64_t size, uint64_t *entry)
{
    uint32_t len;
    const uint8_t *desc = elf_note(notes, size, XEN_ELFNOTE_PHYS32_ENTRY, &len);
    if (!desc || (len != 4 && len != 8))
        return false;
    *entry = 0;
    memcpy(entry, desc, len);
    return true;
}
