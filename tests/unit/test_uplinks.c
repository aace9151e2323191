/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/uplinks.c drivers-dom/net/net.c drivers-dom/net/nic.c drivers-dom/net/pkt.c drivers-dom/net/gso.c drivers-dom/net/switch.c drivers-dom/net/guard.c
// LINK: drivers-dom/lib/device.c domains/cmdline.c
// FLAGS: -Idomains/include -Idomains -Idrivers-dom/lib -Idrivers-dom/net
/* The NICs of a domain's bridges, as its command line names them: each of its own, and one that is no good is no good for its own bridge alone. */
#include <errno.h>
#include "unit.h"
#include "e1000e.h"
#include "igb.h"
#include "net.h"
#include "virtio_net.h"

struct bh_self self = { .name = "net0" };
uint64_t now_ns(void) { return 0; }
void shared_stored(void) {}
void *page_alloc(unsigned n) { return NULL; }
void wakes_only(uint32_t port, void *arg) {}
int event_bind_pirq(uint32_t pirq, event_fn fn, void *arg) { return -1; }
void bh_panic(const char *fmt, ...) { abort(); }

static struct bh_pci_info devices[4];
static unsigned nr_devices;
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    struct bh_pci_info *info = (struct bh_pci_info *)arg;
    uint32_t i = info->index;

    if (op != BH_SVC_DEVICES || i >= nr_devices)
        return -ENOENT;
    *info = devices[i];
    info->index = i;
    return 0;
}

static const char *wrong; /* with the device of class_rev 1 */
static struct nic *started[8];
static unsigned nr_started;
static const char *start_nic(struct nic *n, const struct bh_pci_info *dev, event_fn irq, void *arg)
{
    if (dev->class_rev == 1 && wrong)
        return wrong;
    n->tx_size = 256;
    n->mtu = n->mtu_max = 1500;
    started[nr_started++] = n;
    return NULL;
}
static void nothing(struct nic *n) {}
const struct nic_ops virtio_net = {
    .name = "virtio-net", .start = start_nic, .reclaim = nothing, .notify = nothing
};
const struct nic_ops e1000e_nic = {
    .name = "Intel 82574L", .start = start_nic, .reclaim = nothing, .notify = nothing
};
const struct nic_ops igb_nic = { .name = "none" };
bool igb_is(const struct bh_pci_info *dev) { return false; }
const char *igb_trial(const struct bh_pci_info *dev) { return NULL; }
bool e1000e_is(const struct bh_pci_info *dev) { return dev->vendor == 0x8086; }
const char *virtio_net_trial(const struct bh_pci_info *dev) { return NULL; }
const char *e1000e_trial(const struct bh_pci_info *dev) { return NULL; }

static void found(const char *words, unsigned n)
{
    memset(&net, 0, sizeof(net));
    nr_started = 0;
    nr_devices = n;
    snprintf(self.cmdline, sizeof(self.cmdline), "name=net0 %s", words);
    uplinks_find();
}

int setup(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++)
        devices[i] = (struct bh_pci_info){ .sbdf = 0x18 + 8 * i,
                                           .vendor = i == 1   ? 0x8086
                                                     : i == 3 ? 0x10ec
                                                              : 0x1af4,
                                           .device = 0x1041,
                                           .class_rev = i };
    wrong = NULL;
    return 0;
}

TEST(one)
{
    found("", 2);
    assert_true(net.uplink[0] == started[0] && nr_started == 1 && net.uplink[0]->sbdf == 0x18);
    assert_int_equal(net.uplink[0]->tx_size, 256);
    assert_true(net.sw.up == port_bit(SW_UPLINK) && net_bridge(0) && !net_bridge(1));
    assert_string_equal(net.refusal[0], "");
    assert_string_equal(net.refusal[1], "there is no such bridge");
    assert_string_equal(uplinks_text(), "uplink virtio-net, MTU 1500");
    memcpy(net.uplink[0]->mac, "RT\0\xab", 4);
    assert_string_equal(uplinks_text(), "uplink virtio-net 52:54:00:ab:00:00, MTU 1500");
    found("", 0);
    assert_true(!net.uplink[0] && !net.refusal[0][0] && !net.sw.up);
    assert_string_equal(uplinks_text(), "uplink none, MTU 0");
    wrong = "it does not reset";
    devices[0].class_rev = 1;
    found("", 1);
    assert_string_equal(net.refusal[0], "NIC 0000:00:03.0 refused: it does not reset");
    assert_string_equal(uplinks_text(), "uplink not there, MTU 0");
}

TEST(several)
{
    found("bridges=a@20,inside,b@18 keep=1:65", 4);
    assert_true(net.uplink[0] && !net.uplink[1] && net.uplink[2] && !net.uplink[3]);
    assert_true(net.uplink[0] != net.uplink[2]);
    assert_int_equal(net.uplink[0]->sbdf, 0x20);
    assert_int_equal(net.uplink[2]->sbdf, 0x18);
    assert_int_equal(net.uplink[0]->tx_size, 128); /* both have what one would have */
    assert_true(net.sw.up == (port_bit(SW_UPLINK) | port_bit(sw_uplink(2))));
    assert_int_equal(net.sw.port[sw_uplink(2)].conf.bridge, 2);
    assert_true(!net.refusal[0][0] && !net.refusal[1][0] && !net.refusal[2][0]);
    assert_string_equal(net.refusal[3], "there is no such bridge");
    assert_string_equal(net.bridge[1], "inside");
    assert_string_equal(uplinks_text(),
                        "a: Intel 82574L, MTU 1500, inside: none, MTU 0, b: virtio-net, MTU 1500");
    found("bridges=a@18,b@20,c@28,d", 4);
    assert_int_equal(net.uplink[0]->tx_size, 64);
    assert_string_equal(net.refusal[3], "");
    found("bridges=a@18,b@20 mtu=1400", 4); /* all of them */
    assert_true(net.uplink[0]->mtu == 1400 && net.sw.port[SW_UPLINK].mtu == 1400);
    assert_true(net.uplink[1]->mtu == 1400 && net.sw.port[sw_uplink(1)].mtu == 1400);
    found("bridges=a,b", 4); /* no NIC that is there is used */
    assert_int_equal(nr_started, 0);
    assert_true(!net.refusal[0][0] && !net.sw.up);
}

TEST(one_of_several_is_no_good)
{
    wrong = "its queues are too short";
    found("bridges=a@18,b@20,c@30,d@40", 4);
    assert_true(net.uplink[0] && !net.uplink[1] && !net.uplink[2] && !net.uplink[3]);
    assert_string_equal(net.refusal[0], "");
    assert_string_equal(net.refusal[1], "NIC 0000:00:04.0 refused: its queues are too short");
    assert_string_equal(net.refusal[2],
                        "NIC 0000:00:06.0 refused: none of virtio-net, Intel 82574L and 82576");
    assert_string_equal(net.refusal[3], "NIC 0000:00:08.0 refused: it was not given");
    assert_string_equal(
        uplinks_text(),
        "a: virtio-net, MTU 1500, b: not there, MTU 0, c: not there, MTU 0, d: not there, MTU 0");
}
