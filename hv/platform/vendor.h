/* SPDX-License-Identifier: MIT */
/* Which vendor's half the machine has: chosen while the core starts (virt/virt.c, pci/iommu/iommu.c), then only read. */
#pragma once

struct virt_ops;  /* virt/virt.h */
struct iommu_ops; /* pci/iommu/iommu.h */
extern const struct virt_ops *virt;
extern const struct iommu_ops *iommu_ops; /* NULL: no IOMMU, every assignment is refused */
