# SPDX-License-Identifier: MIT
# A vnet domain is the net driver domain with the tunnel where that has its NICs.
VNET_SRC := $(wildcard drivers-dom/vnet/*.c) \
  $(addprefix drivers-dom/net/,main.c net.c round.c netback.c queues.c rss.c mcast.c adopt.c vif.c vif_front.c vif_stats.c switch.c guard.c vlan.c pkt.c gso.c nic.c) \
  $(addprefix drivers-dom/lib/,blame.c counters.c device.c keep_record.c loop.c xenbus_backend.c)
$(B)/vnet.dbg: $(B)/liblwip.a
$(call dom_objects,vnet,$(VNET_SRC)): $(LWIP_PORT)
$(eval $(call service_domain,vnet,$(VNET_SRC),$(B)/liblwip.a -lcrypto -lz,$(LWIP_INC) -Idrivers-dom/lib -Idrivers-dom/net -Idrivers-dom/vnet))
