/* SPDX-License-Identifier: MIT */
/* The facts about the machine and the start that everybody reads. hv/boot fills them; only CPUs may come later. */
#include "base/percpu.h"
#include "platform/acpi_info.h"
#include "platform/boot_info.h"
#include "platform/cmdline.h"
#include "platform/vendor.h"

struct boot_info boot_info;
struct acpi_info acpi_info;
struct cmdline cmdline;
const struct virt_ops *virt;
const struct iommu_ops *iommu_ops;
struct cpu *cpus[MAX_CPUS];
uint32_t nr_cpus;
uint32_t first_domain_cpu;
