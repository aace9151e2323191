# SPDX-License-Identifier: MIT
# Driver domains with a back door, and the bundle that has them: `make door`. Part of no component and of no other bundle.
DOOR := $(B)/door

# $(call door_domain,NAME): the objects of the real one, and the door before event_wait.
define door_domain
$(call dom_compile,door-$(1),$(call DRIVER_CFLAGS,$(1)) -Itests/door)
$(DOOR)/$(1).dbg: $(call dom_objects,$(1),$(call driver_sources,$(1))) $(call dom_objects,door-$(1),tests/door/door.c tests/door/$(1).c) \
  $(B)/libbh.a domains/domain.lds
	@mkdir -p $$(@D)
	$(LD) $(DOM_LDFLAGS) --wrap=event_wait -o $$@ $$(filter %.o,$$^) --start-group $(B)/libbh.a $(addprefix -L,$(DOM_LIBDIR)) -lz --end-group
$(DOOR)/$(1).elf: $(DOOR)/$(1).dbg
	$(OBJCOPY) --strip-all $$< $$@
endef
$(eval $(call door_domain,net))
$(eval $(call door_domain,blk))

DOOR_IMAGES := $(filter-out net=% blk=%,$(BUNDLE_IMAGES)) net=$(DOOR)/net.elf blk=$(DOOR)/blk.elf
$(eval $(call bundle,$(DOOR)/bundle.itb,$(DOOR_IMAGES),$(BUNDLE_CFGS)))
door: $(DOOR)/bundle.itb
.PHONY: door
