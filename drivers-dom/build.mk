# SPDX-License-Identifier: MIT
# What driver domains share is compiled into each of them. Their folders use $(eval $(call driver_domain,NAME)) for drivers-dom/NAME.
DRIVER_CFLAGS = -Idrivers-dom/lib -Idrivers-dom/$(1)
driver_sources = $(wildcard drivers-dom/$(1)/*.c drivers-dom/lib/*.c)
driver_domain = $(call service_domain,$(1),$(call driver_sources,$(1)),-lz,$(call DRIVER_CFLAGS,$(1)))
include $(wildcard drivers-dom/*/build.mk)
