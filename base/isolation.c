#include "base/isolation.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int isolation_fail(const char *what, struct error *err)
{
	return error_set(err, errno, "no-isolation", NULL, "isolation: %s: %s",
			 what, strerror(errno));
}

int isolation_become_root(struct error *err)
{
	/* The old root lies over the new one then: pivot_root(2), "pivot_root
	 * ('.', '.')". */
	if (syscall(SYS_pivot_root, ".", ".") == 0)
		return umount2(".", MNT_DETACH) < 0
			       ? isolation_fail("umount", err)
			       : 0;
	if (errno != EINVAL)
		return isolation_fail("pivot_root", err);
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
		return isolation_fail("moving the root", err);
	return chroot(".") < 0 ? isolation_fail("chroot", err) : 0;
}

int isolation_drop_bounding(struct error *err)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0;
	     cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return isolation_fail("bounding set", err);
	if (prctl(PR_SET_SECUREBITS,
		  SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
			  SECBIT_NO_SETUID_FIXUP_LOCKED |
			  SECBIT_KEEP_CAPS_LOCKED |
			  SECBIT_NO_CAP_AMBIENT_RAISE |
			  SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		  0, 0, 0) < 0)
		return isolation_fail("securebits", err);
	return 0;
}

int isolation_drop_capabilities(struct error *err)
{
	struct __user_cap_header_struct h = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &h, none) < 0)
		return isolation_fail("capabilities", err);
	return 0;
}
