# SPDX-License-Identifier: MIT
# libbh.a and the one way to link a service domain. The other folders use
#   $(eval $(call service_domain,NAME,SOURCES[,EXTRA_LIBS[,EXTRA_CFLAGS]]))
# which gives build/NAME.elf (shipped, stripped), build/NAME.dbg (with symbols) and adds the first to COMPONENTS.

# Debian's libxen-dev, libfdt-dev, zlib1g-dev, uuid-dev and libssl-dev put their headers beside glibc's, which a freestanding program must not
# see: a directory of links holds just these.
DOM_SYSINC  := $(B)/sysinclude
DOM_HEADERS := xen libfdt.h libfdt_env.h fdt.h zlib.h zconf.h uuid \
  $(addprefix openssl/,sha.h macros.h e_os2.h opensslv.h)
DOM_HEADERS_ARCH := $(addprefix $(shell $(CC) -print-multiarch)/openssl/,opensslconf.h configuration.h)

# SSE is on from the entry code: Debian's libfdt.a and libz.a use it, as any x86-64 code does.
DOM_CFLAGS := $(FREE) $(WARN) -O2 -m64 -march=x86-64 -mno-avx -mno-80387 -mno-mmx -mcmodel=small \
  -fstack-protector-strong -ffunction-sections -fdata-sections -fno-strict-aliasing -fwrapv \
  -fno-tree-loop-distribute-patterns \
  -nostdinc -Idomains/include -Idomains/libc/include -Ihv/abi/public -I. \
  -isystem $(shell $(CC) -print-file-name=include) -isystem $(DOM_SYSINC) \
  -D__XEN_INTERFACE_VERSION__=0x00040e00
DOM_ASFLAGS := $(DOM_CFLAGS) -D__ASSEMBLY__
DOM_LDFLAGS := -nostdlib -static -m elf_x86_64 -T domains/domain.lds -z noexecstack -z max-page-size=0x1000 \
  --build-id=none --gc-sections
DOM_LIBDIR  := $(dir $(shell $(CC) -print-file-name=libfdt.a))

$(DOM_SYSINC)/.done: domains/build.mk
	@mkdir -p $(DOM_SYSINC)/openssl
	@for h in $(DOM_HEADERS); do ln -sfn /usr/include/$$h $(DOM_SYSINC)/$$h; done
	@for h in $(DOM_HEADERS_ARCH); do ln -sfn /usr/include/$$h $(DOM_SYSINC)/$${h#*/}; done
	@touch $@

# $(call dom_objects,NAME,SOURCES): where the objects of a domain go.
dom_objects = $(patsubst %,$(B)/dom/$(1)/%.o,$(basename $(2)))

define dom_compile
$(B)/dom/$(1)/%.o: %.c | $(DOM_SYSINC)/.done
	@mkdir -p $$(@D)
	$(CC) $(DOM_CFLAGS) $(2) -c -o $$@ $$<
$(B)/dom/$(1)/%.o: %.S | $(DOM_SYSINC)/.done
	@mkdir -p $$(@D)
	$(CC) $(DOM_ASFLAGS) $(2) -c -o $$@ $$<
endef

define service_domain
$(call dom_compile,$(1),$(4))
$(B)/$(1).dbg: $(call dom_objects,$(1),$(2)) $(B)/libbh.a domains/domain.lds
	$(LD) $(DOM_LDFLAGS) -o $$@ $(call dom_objects,$(1),$(2)) --start-group $(B)/libbh.a \
	  $(addprefix -L,$(DOM_LIBDIR)) $(3) --end-group
$(B)/$(1).elf: $(B)/$(1).dbg
	$(OBJCOPY) --strip-all $$< $$@
COMPONENTS += $(B)/$(1).elf
endef

LIBBH_SRC := $(wildcard domains/*.c domains/*.S domains/libc/*.c common/*.c)

$(eval $(call dom_compile,libbh,))
$(B)/libbh.a: $(call dom_objects,libbh,$(LIBBH_SRC))
	rm -f $@
	$(AR) rcs $@ $^
