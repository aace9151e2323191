# SPDX-License-Identifier: MIT
# A bundle with the guest of cost.py, Debian's kernel and ramdisk for cost_create.py, and the two services that a boot needs.
COST_IMAGES := store=$(B)/store.elf pciback=$(B)/pciback.elf cost=$(B)/cost.elf debian-kernel=$(GUEST)/vmlinuz debian-ramdisk=$(GUEST)/ramdisk.cpio
COST_CFGS := $(addprefix tests/bench/cost/,cost.cfg debian.cfg) ctl-dom/bundle/store.cfg ctl-dom/bundle/pciback.cfg
$(eval $(call bundle,$(B)/cost.itb,$(COST_IMAGES),$(COST_CFGS)))
COMPONENTS += $(B)/cost.itb
# One for cost_devices.py: the services and the guest that is measured, and nothing that starts by itself beside them.
DEVICES_IMAGES := $(foreach i,store pciback net vnet blk,$(i)=$(B)/$(i).elf) grub=$(GRUB_IMAGE) \
  debian-kernel=$(GUEST)/vmlinuz debian-ramdisk=$(GUEST)/ramdisk.cpio
DEVICES_CFGS := $(foreach i,store pciback net0 blk0 debian-disk debian2,ctl-dom/bundle/$(i).cfg)
$(eval $(call bundle,$(B)/cost-devices.itb,$(DEVICES_IMAGES),$(DEVICES_CFGS)))
COMPONENTS += $(B)/cost-devices.itb
# And one with Linux driver domains.
LINUX_CFGS := $(foreach i,store pciback net0 blk0 debian-disk netdd stordd relay,ctl-dom/bundle/$(i).cfg)
$(eval $(call bundle,$(B)/cost-linux.itb,$(DEVICES_IMAGES) linux-service=$(GUEST)/linux-service.cpio,$(LINUX_CFGS)))
COMPONENTS += $(B)/cost-linux.itb
# Counts what the emulated machine executes: count.py.
$(B)/count.so: tests/bench/cost/count.c
	@mkdir -p $(@D)
	@echo '  CC  $<'
	@$(CC) -std=gnu11 -O2 $(WARN) -shared -fPIC -fvisibility=hidden -o $@ $<
COMPONENTS += $(B)/count.so
