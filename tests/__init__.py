# SPDX-License-Identifier: MIT
"""The tests as a package, so that programs in several folders use tests/lib. They find it, and tools/, from the top of the tree."""
