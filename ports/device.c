#include "ports/device.h"

#include "base/log.h"
#include "ports/privilege.h"

#include <errno.h>
#include <string.h>

int device_cannot(struct error *err, int error, const char *path,
		  const char *what, const char *ifname)
{
	const char *reason = "device-setup";

	if (error == EPERM)
		reason = "not-permitted";
	else if (error == ENODEV) /* a guest that has just ended */
		reason = "no-such-device";
	return error_set(err, error, reason, path, "can't %s %s: %s%s", what,
			 ifname, strerror(error),
			 privilege_hint(PRIVILEGE_NET_ADMIN, error));
}

int device_set_mtu(struct netlink *nl, const struct port_request *rq,
		   struct port_grant *grant, struct error *err)
{
	struct port_undo *undo = &grant->undo;
	uint32_t mtu = rq->mtu;
	int r;

	if (!mtu && undo->mtu_set)
		mtu = undo->mtu;
	if (mtu && mtu != grant->mtu) {
		r = netlink_set_mtu(nl, grant->ifindex, mtu);
		if (r == -EINVAL || r == -ERANGE)
			return error_set(err, -r, "bad-mtu", "mtu",
					 "%s doesn't take an MTU of %u",
					 grant->ifname, mtu);
		if (r)
			return device_cannot(err, -r, "mtu", "set the MTU of",
					     grant->ifname);
		if (!undo->mtu_set)
			undo->mtu = grant->mtu;
		undo->mtu_set = true;
		grant->mtu = mtu;
	}
	if (!rq->mtu)
		undo->mtu_set = false;
	return 0;
}

void device_put_back(const struct port_grant *grant, const char *what, int r)
{
	if (r && r != -ENODEV)
		log_warning("port", "%s: can't put back %s: %s", grant->ifname,
			    what, strerror(-r));
}
