/* SPDX-License-Identifier: MIT */
// LINK: tests/fuzz/fuzz_net.c tests/unit/copies.c tests/unit/vnet_world.c tests/unit/tcp_frame.c drivers-dom/net/netback.c drivers-dom/net/mcast.c drivers-dom/net/queues.c drivers-dom/net/rss.c drivers-dom/net/adopt.c drivers-dom/net/switch.c drivers-dom/net/guard.c drivers-dom/net/vlan.c
// LINK: drivers-dom/net/pkt.c drivers-dom/net/gso.c drivers-dom/net/nic.c drivers-dom/net/virtio_net.c drivers-dom/lib/blame.c drivers-dom/lib/keep_record.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net -lz
/* A bounded run of the net driver domain's fuzzer: a fixed set of seeds. */
#include "unit.h"
#include "../fuzz/fuzz_net.h"

TEST(test_seeds)
{
    for (unsigned long long seed = 1; seed <= 24; seed++)
        fuzz_net(seed, 4000);
}
