# SPDX-License-Identifier: MIT
# Driver domains and a store with a back door, and the bundles that have them: `make door`. Part of no component and of no other bundle.
DOOR := $(B)/door

# $(call door_domain,NAME,OUT,SOURCES,FUNCTION[,FLAGS,SOURCES OF THE REAL ONE]): the objects of the real one, and the door before FUNCTION.
define door_domain
$(call dom_compile,door-$(2),$(or $(5),$(call DRIVER_CFLAGS,$(1))) -Itests/door)
$(DOOR)/$(2).dbg: $(call dom_objects,$(1),$(or $(6),$(call driver_sources,$(1)))) $(call dom_objects,door-$(2),$(addprefix tests/door/,$(3))) \
  $(B)/libbh.a domains/domain.lds
	@mkdir -p $$(@D)
	$(LD) $(DOM_LDFLAGS) --wrap=$(4) -o $$@ $$(filter %.o,$$^) --start-group $(B)/libbh.a $(addprefix -L,$(DOM_LIBDIR)) -lz --end-group
$(DOOR)/$(2).elf: $(DOOR)/$(2).dbg
	$(OBJCOPY) --strip-all $$< $$@
endef
$(eval $(call door_domain,net,net,door.c net.c,event_wait))
$(eval $(call door_domain,blk,blk,door.c blk.c,event_wait))
$(eval $(call door_domain,net,mortal-net,mortal_net.c,switch_route))
$(eval $(call door_domain,blk,mortal-blk,mortal_blk.c,bb_open))
$(eval $(call door_domain,store,mortal-store,mortal_store.c,xs_handle,-Ixenstore-lite,$(wildcard xenstore-lite/*.c)))

door_images = $(filter-out net=% blk=%,$(BUNDLE_IMAGES)) net=$(DOOR)/$(1)net.elf blk=$(DOOR)/$(1)blk.elf
$(eval $(call bundle,$(DOOR)/bundle.itb,$(call door_images,),$(BUNDLE_CFGS)))
$(eval $(call bundle,$(DOOR)/mortal.itb,$(filter-out store=%,$(call door_images,mortal-)) store=$(DOOR)/mortal-store.elf,$(BUNDLE_CFGS)))
door: $(DOOR)/bundle.itb $(DOOR)/mortal.itb ## driver domains with a back door, for their tests
.PHONY: door
