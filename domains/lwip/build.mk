# SPDX-License-Identifier: MIT
# liblwip.a: lwIP and what joins it to a small domain. A domain that wants it says
#   $(eval $(call lwip_domain,NAME,SOURCES[,EXTRA_CFLAGS]))
# lwIP is Debian's source package of this version and checksum: its packaged archives are made for threads and files, and their sizes are not ours.
LWIP_VERSION := 2.1.3+dfsg1-2
LWIP_SHA256  := 0a8276d09fc4e97bbba2f953d74af2388fc2195ea156be9d7589e297a68fde24
LWIP         := $(B)/lwip
LWIP_SRC := $(addprefix $(LWIP)/src/, \
  $(addprefix core/,init.c def.c inet_chksum.c ip.c mem.c memp.c netif.c pbuf.c raw.c stats.c tcp.c tcp_in.c tcp_out.c timeouts.c udp.c) \
  $(addprefix core/ipv4/,dhcp.c etharp.c icmp.c igmp.c ip4.c ip4_addr.c ip4_frag.c) \
  $(addprefix core/ipv6/,ethip6.c icmp6.c inet6.c ip6.c ip6_addr.c ip6_frag.c mld6.c nd6.c) netif/ethernet.c)
LWIP_INC := -Idomains/lwip -isystem $(LWIP)/src/include

$(LWIP)/.done: domains/lwip/build.mk tools/fetch-source.sh
	@echo '  LWIP $(LWIP_VERSION)'
	tools/fetch-source.sh $(LWIP) lwip $(LWIP_VERSION) $(LWIP_SHA256)
	@touch $@
$(LWIP)/src/%.c: $(LWIP)/.done ;

# lwIP itself says what -Wextra warns of.
$(eval $(call dom_compile,lwip,$(LWIP_INC)))
$(B)/dom/lwip/$(LWIP)/%.o: DOM_CFLAGS += -Wno-error -w
# Named, since the compiler counts what is included by way of lwIP's own headers as the system's.
LWIP_PORT := $(wildcard domains/lwip/*.h domains/lwip/arch/*.h) $(LWIP)/.done
LWIP_OBJ := $(call dom_objects,lwip,$(LWIP_SRC) $(wildcard domains/lwip/*.c))
$(LWIP_OBJ): $(LWIP_PORT)
$(B)/liblwip.a: $(LWIP_OBJ)
	rm -f $@
	$(AR) rcs $@ $^

define lwip_domain
$(B)/$(1).dbg: $(B)/liblwip.a
$(call dom_objects,$(1),$(2)): $(LWIP_PORT)
$(call service_domain,$(1),$(2),$(B)/liblwip.a -lcrypto,$(LWIP_INC) $(3))
endef
