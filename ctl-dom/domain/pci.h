/* SPDX-License-Identifier: MIT */
/* PCI devices: who has which, and why one cannot be had. */
#pragma once
#include "domain/dom.h"

bool pci_find(uint32_t sbdf, struct bh_pci_info *found);
bool pci_owned(domid_t id, unsigned n, struct bh_pci_info *found); /* n-th device of id */
/* 0; else a negative errno, with one sentence for each refusal of the core's. */
int pci_attach(struct dom *d, uint32_t sbdf, struct errbuf *e);
/* The functions that a * of pci= means, by those that there are now. */
int pci_expand(struct domcfg *c, struct errbuf *e);
int pci_not_its(const struct dom *d, uint32_t sbdf, struct errbuf *e); /* the sentence of that */
/* A device of the platform becomes assignable, or is the platform's again. 0, or a negative errno with a sentence. */
int pci_hide(uint32_t sbdf, bool hide, struct errbuf *e);
/* What of that can be said before there is a domain. */
int pci_could(const struct domcfg *cfg, uint32_t sbdf, struct errbuf *e);
void pci_detach_all(const struct dom *d);

#define SBDF_TEXT 16
struct sbdf_text {
    char s[SBDF_TEXT];
};
/* "0000:03:00.0" */
struct sbdf_text sbdf_text(uint32_t sbdf);
