/* port.show's "guest": what a vhost-user port knows of its other end. */
#include "switchd/methods.h"

#include "ports/vhost_user.h"

struct bit_name {
	unsigned int bit;
	const char *name;
};

/* VIRTIO 1.2 sections 5.1.3 and 6, in the words of the standard. */
static const struct bit_name features[] = {
	{ 0, "csum" },
	{ 1, "guest-csum" },
	{ 2, "ctrl-guest-offloads" },
	{ 3, "mtu" },
	{ 5, "mac" },
	{ 7, "guest-tso4" },
	{ 8, "guest-tso6" },
	{ 9, "guest-ecn" },
	{ 10, "guest-ufo" },
	{ 11, "host-tso4" },
	{ 12, "host-tso6" },
	{ 13, "host-ecn" },
	{ 14, "host-ufo" },
	{ 15, "mrg-rxbuf" },
	{ 16, "status" },
	{ 17, "ctrl-vq" },
	{ 18, "ctrl-rx" },
	{ 19, "ctrl-vlan" },
	{ 21, "guest-announce" },
	{ 22, "mq" },
	{ 23, "ctrl-mac-addr" },
	{ 24, "notify-on-empty" },
	{ 26, "log-all" }, /* vhost-user's: VHOST_F_LOG_ALL */
	{ 27, "any-layout" },
	{ 28, "indirect-desc" },
	{ 29, "event-idx" },
	{ 30, "protocol-features" }, /* vhost-user's */
	{ 32, "version-1" },
	{ 33, "access-platform" },
	{ 34, "ring-packed" },
	{ 35, "in-order" },
	{ 36, "order-platform" },
	{ 37, "sr-iov" },
	{ 38, "notification-data" },
	{ 40, "ring-reset" },
	{ 54, "guest-uso4" },
	{ 55, "guest-uso6" },
	{ 56, "host-uso" },
	{ 57, "hash-report" },
	{ 59, "guest-hdrlen" },
	{ 60, "rss" },
	{ 61, "rsc-ext" },
	{ 62, "standby" },
	{ 63, "speed-duplex" },
};

/* QEMU's docs/interop/vhost-user, "Protocol features". */
static const struct bit_name protocol[] = {
	{ 0, "mq" },
	{ 1, "log-shmfd" },
	{ 2, "rarp" },
	{ 3, "reply-ack" },
	{ 4, "mtu" },
	{ 5, "backend-req" },
	{ 6, "cross-endian" },
	{ 7, "crypto-session" },
	{ 8, "pagefault" },
	{ 9, "config" },
	{ 10, "backend-send-fd" },
	{ 11, "host-notifier" },
	{ 12, "inflight-shmfd" },
	{ 13, "reset-device" },
	{ 14, "inband-notifications" },
	{ 15, "configure-mem-slots" },
	{ 16, "status" },
	{ 17, "xen-mmap" },
	{ 18, "shared-object" },
	{ 19, "device-state" },
};

/* The bits as names; those that have none as their number. */
static json_t *bits_json(uint64_t bits, const struct bit_name *names,
			 unsigned int n)
{
	json_t *list = json_array();

	for (unsigned int bit = 0, i = 0; bit < 64; bit++) {
		while (i < n && names[i].bit < bit)
			i++;
		if (!(bits >> bit & 1))
			continue;
		if (i < n && names[i].bit == bit)
			json_array_append_new(list, json_string(names[i].name));
		else
			json_array_append_new(list,
					      json_sprintf("bit-%u", bit));
	}
	return list;
}

/* Even rings carry frames to the guest, in pairs with those from it. */
static json_t *ring_json(const struct vhost_ring_info *r, uint32_t i)
{
	return json_pack("{s:i,s:s,s:s,s:b,s:b,s:i,s:I,s:I,s:I}", "queue",
			 (int)(i / 2), "direction",
			 i % 2 ? "from-guest" : "to-guest", "kind",
			 r->packed ? "packed" : "split", "started", r->started,
			 "enabled", r->enabled, "size", (int)r->size, "frames",
			 (json_int_t)r->frames, "kicks", (json_int_t)r->kicks,
			 "calls", (json_int_t)r->calls);
}

json_t *method_guest(const struct switch_port *p)
{
	const struct vhost_user_params *v = &p->config.request.vhost_user;
	struct vhost_user_info info = { 0 };
	json_t *o, *rings = json_array();

	vhost_user_info(p->port, &info);
	for (uint32_t i = 0; i < info.rings && i < VHOST_RINGS_MAX; i++)
		if (info.ring[i].size || info.ring[i].started)
			json_array_append_new(rings,
					      ring_json(&info.ring[i], i));
	o = json_pack("{s:s,s:s,s:i,s:s*,s:s*}", "path", v->path, "role",
		      v->client ? "client" : "server", "queues",
		      (int)p->port->queues, "condition", p->condition, "reason",
		      p->reason);
	json_object_update_new(
		o,
		json_pack("{s:I,s:o,s:o,s:i,s:I,s:i,s:b,s:o}", "connections",
			  (json_int_t)info.connections, "features",
			  bits_json(info.features, features,
				    sizeof(features) / sizeof(features[0])),
			  "protocol-features",
			  bits_json(info.protocol_features, protocol,
				    sizeof(protocol) / sizeof(protocol[0])),
			  "status", (int)info.status, "memory",
			  (json_int_t)info.memory, "regions", (int)info.regions,
			  "logging", info.logging, "rings", rings));
	return o;
}
