/* SPDX-License-Identifier: MIT */
/*
 * A net driver domain that each of its guests can kill at will: it dies at a frame of a guest's that asks who has 10.0.2.66, in its first
 * MORTAL lives. The same objects as the real one, and this, which the linker puts before switch_route; in the bundle of tests/system/test_killer.py alone.
 */
#include <bh.h>
#include <string.h>
#include "switch.h"

#define MORTAL 4u /* those before it is put aside, and those of a chance that it does not deserve */

struct sw_way __real_switch_route(struct sw *sw, unsigned from, const uint8_t *frame, unsigned len,
                                  uint64_t now);
struct sw_way __wrap_switch_route(struct sw *sw, unsigned from, const uint8_t *frame, unsigned len,
                                  uint64_t now);

struct sw_way __wrap_switch_route(struct sw *sw, unsigned from, const uint8_t *frame, unsigned len,
                                  uint64_t now)
{
    static const uint8_t arp[2] = { 8, 6 }, wanted[4] = { 10, 0, 2, 66 };

    if (self.instance < MORTAL && from != SW_UPLINK && len >= 42 && !memcmp(frame + 12, arp, 2) &&
        !memcmp(frame + 38, wanted, 4))
        bh_panic("door: a guest asks who has 10.0.2.66");
    return __real_switch_route(sw, from, frame, len, now);
}
