/*
 * drop - why a frame was not forwarded or not sent
 *
 * The one list of drop reasons: enum, counter index, JSON name, metric name
 * and the man page's table all come from it. Two ledgers use it, and tests
 * hold both to the frame:
 *
 *   ingress of a port: received = forwarded + the sum of its rx drops
 *   egress of a port:  copies   = sent      + the sum of its tx drops
 *
 * Add a reason here and nowhere else.
 */
#ifndef PORTS_DROP_H
#define PORTS_DROP_H

/* X(enum suffix, name in JSON, meaning) */
#define DROP_REASONS(X)                                                      \
	/* ingress: the frame itself */                                      \
	X(TOO_SHORT, "too-short", "shorter than its headers say")            \
	X(TOO_LONG, "too-long", "longer than any port can carry")            \
	X(BAD_OFFLOAD, "bad-offload",                                        \
	  "offload header contradicts the frame (vnet_hdr)")                 \
	X(TUNNEL_GSO, "tunnel-gso",                                          \
	  "tunnel super-frame that can't be told apart safely")              \
	X(ZERO_SOURCE, "zero-source", "source address 00:00:00:00:00:00")    \
	X(RESERVED, "reserved",                                              \
	  "link-local destination 01-80-C2-00-00-0X (forward-reserved)")     \
	/* ingress: configuration and forwarding */                          \
	X(MIRROR_TARGET, "mirror-target",                                    \
	  "received on a port that only gets mirror copies")                 \
	X(DISABLED, "disabled", "port is disabled or being detached")        \
	X(VLAN_INGRESS, "vlan-ingress", "VLAN not admitted on the port")     \
	X(HAIRPIN, "hairpin", "destination is on the port it came from")     \
	X(ISOLATED, "isolated", "both ports are isolated or one may not")    \
	X(VLAN_EGRESS, "vlan-egress", "destination port isn't in the VLAN")  \
	X(NO_DESTINATION, "no-destination", "no other port takes the frame") \
	X(PUNT_BUDGET, "punt-budget",                                        \
	  "too many of the port's frames wait for userspace (fast path)")    \
	/* egress */                                                         \
	X(MTU, "mtu", "longer than the egress port's MTU")                   \
	X(GSO, "gso", "super-frame that can't be segmented for this port")   \
	X(QUEUE_FULL, "queue-full", "the egress queue is full")              \
	X(GUEST_BUFFER, "guest-buffer",                                      \
	  "longer than the buffers that the guest has given (vhost-user)")   \
	X(LINK_DOWN, "link-down", "the device is down or gone")              \
	X(IO_ERROR, "io-error", "the system call failed otherwise")          \
	X(NO_MEMORY, "no-memory", "no buffer for a copy of the frame")       \
	/* both */                                                           \
	X(RESTART, "restart", "was under way when the switch process died")

#define DROP_ENUM(id, name, text) DROP_##id,
enum drop_reason { DROP_REASONS(DROP_ENUM) DROP_REASON_COUNT };

/* The JSON name of a reason, for example "too-short". Static storage. */
const char *drop_name(enum drop_reason why);

/* What the reason means, one phrase for people. Static storage. */
const char *drop_text(enum drop_reason why);

#endif
