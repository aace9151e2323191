# SPDX-License-Identifier: MIT
# Small domains that only tests start, and the bundle and the ISO that have them beside what is shipped.
TEST_DOMAINS := echo lwip-iperf runner flood abicalls hostile blkhostile microbench pcifront
LWIP_DOMAINS := echo lwip-iperf
$(foreach t,$(filter-out $(LWIP_DOMAINS),$(TEST_DOMAINS)),$(eval $(call service_domain,$(t),$(wildcard tests/domains/$(t)/*.c))))
$(foreach t,$(LWIP_DOMAINS),$(eval $(call lwip_domain,$(t),$(wildcard tests/domains/$(t)/*.c))))
$(eval $(call service_domain,dmatest,$(wildcard tests/domains/dmatest/*.c) $(addprefix drivers-dom/,net/virtio_net.c net/nic.c net/gso.c net/pkt.c lib/virtio_pci.c lib/device.c),,-Idrivers-dom/lib -Idrivers-dom/net))
# The objects of a vnet's domain, and who takes it over before event_wait.
$(eval $(call dom_compile,vnethostile,$(LWIP_INC)))
$(B)/vnethostile.dbg: $(call dom_objects,vnet,$(VNET_SRC)) $(call dom_objects,vnethostile,tests/domains/vnethostile/taken.c) $(B)/liblwip.a $(B)/libbh.a
	$(LD) $(DOM_LDFLAGS) --wrap=event_wait -o $@ $(filter %.o,$^) --start-group $(B)/libbh.a $(addprefix -L,$(DOM_LIBDIR)) $(B)/liblwip.a -lcrypto -lz --end-group
$(B)/vnethostile.elf: $(B)/vnethostile.dbg
	$(OBJCOPY) --strip-all $< $@
$(call dom_objects,vnethostile,tests/domains/vnethostile/taken.c): $(LWIP_PORT)

$(eval $(call bundle,$(B)/test-bundle.itb,$(BUNDLE_IMAGES) $(foreach t,$(TEST_DOMAINS) dmatest vnethostile,$(t)=$(B)/$(t).elf),\
  $(BUNDLE_CFGS) $(sort $(wildcard tests/domains/*/*.cfg))))
COMPONENTS += $(B)/test-bundle.itb
$(B)/test.iso: $(B)/bulkhead.elf $(B)/control.elf $(B)/test-bundle.itb tools/mkiso.sh
	tools/mkiso.sh $@ '$(HV_CMDLINE)' $(B)/control.elf $(B)/test-bundle.itb
all: $(B)/test.iso
