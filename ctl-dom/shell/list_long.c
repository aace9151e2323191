/* SPDX-License-Identifier: MIT */
/* A domain's configuration as JSON, in the names that `xl list -l` has for what both have. */
#include <uuid/uuid.h>
#include "console/console.h"
#include "domain/dom.h"
#include "domain/identity.h"
#include "shell/json.h"
#include "shell/lists.h"

static const char *action(enum cfg_action a)
{
    return a == ACTION_RESTART ? "restart" : a == ACTION_PRESERVE ? "preserve" : "destroy";
}

static void disks(const struct dom *d)
{
    json_open("disks", '[');
    for (unsigned i = 0; i < d->cfg.nr_disks; i++) {
        const struct cfg_disk *c = &d->cfg.disk[i];
        json_open(NULL, '{');
        json_text("backend_domname", c->backend);
        json_text("pdev_path", c->volume);
        json_text("vdev", c->vdev);
        json_text("backend", "phy");
        json_text("format", "raw");
        json_number("readwrite", c->mode[0] == 'w');
        json_number("limit_ops", c->limit_ops);
        json_number("limit_bytes", c->limit_bytes);
        json_close('}');
    }
    json_close(']');
}

static void nics(const struct dom *d)
{
    char mac[VIF_MAC];

    json_open("nics", '[');
    for (unsigned i = 0; i < d->nr_devs; i++) {
        const struct dom_dev *v = &d->dev[i];
        const struct dom *b = dom_by_id(v->back);
        if (v->kind != DEV_VIF)
            continue;
        const struct cfg_vif *c = &d->cfg.vif[v->index];
        json_open(NULL, '{');
        json_text("backend_domname", b ? b->cfg.name : c->backend);
        json_number("devid", v->devid);
        mac_text(c->mac, mac);
        json_text("mac", mac);
        json_text("bridge", list_bridge(d, v));
        json_number("rate_bytes_per_s", c->rate);
        json_close('}');
    }
    json_close(']');
}

static void pcidevs(const struct dom *d)
{
    json_open("pcidevs", '[');
    for (unsigned i = 0; i < d->cfg.nr_pci; i++) {
        uint32_t sbdf = d->cfg.pci[i];
        json_open(NULL, '{');
        json_number("domain", sbdf >> 16);
        json_number("bus", sbdf >> 8 & 0xff);
        json_number("dev", sbdf >> 3 & 31);
        json_number("func", sbdf & 7);
        json_close('}');
    }
    json_close(']');
}

static void config(const struct dom *d)
{
    const struct domcfg *c = &d->cfg;
    char uuid[UUID_TEXT];

    uuid_unparse_lower(c->uuid, uuid);
    json_open("c_info", '{');
    json_text("type", "pvh");
    json_text("name", c->name);
    json_text("uuid", uuid);
    json_close('}');
    json_open("b_info", '{');
    json_number("max_vcpus", config_most_vcpus(c));
    json_number("max_memkb", config_most_mb(c) * 1024ul);
    json_number("target_memkb", (uint64_t)c->memory_mb * 1024);
    if (c->kernel[0])
        json_text("kernel", c->kernel);
    if (c->ramdisk[0])
        json_text("ramdisk", c->ramdisk);
    if (c->image[0])
        json_text("image", c->image);
    json_text("cmdline", c->cmdline);
    json_close('}');
    disks(d);
    nics(d);
    pcidevs(d);
    json_text("on_poweroff", action(c->on_poweroff));
    json_text("on_reboot", action(c->on_reboot));
    json_text("on_crash", action(c->on_crash));
}

void list_long(bool (*shown)(domid_t id))
{
    struct bh_dominfo di = { 0 };

    json_open(NULL, '[');
    for (; bh_ctl_info(&di) == 0; di.domid++) {
        const struct dom *d = dom_by_id(di.domid);
        if (!shown(di.domid) || (!d && di.domid != BH_DOMID_CONTROL))
            continue;
        json_open(NULL, '{');
        json_number("domid", di.domid);
        json_open("config", '{');
        if (d) {
            config(d);
        } else {
            json_open("c_info", '{');
            json_text("type", "pvh");
            json_text("name", "control");
            json_close('}');
        }
        json_close('}');
        json_close('}');
    }
    json_close(']');
}
