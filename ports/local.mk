noinst_LIBRARIES += ports/libports.a
ports_libports_a_SOURCES = \
	ports/drop.c ports/drop.h \
	ports/dummy.c ports/dummy.h \
	ports/frame.c ports/frame.h \
	ports/port.c ports/port.h
ports_libports_a_SOURCES += \
	ports/link.c ports/link.h \
	ports/netdev.c ports/netdev.h ports/netdev_acquire.c \
	ports/netdev_guard.c ports/netdev_guard.h \
	ports/netlink.c ports/netlink.h \
	ports/tap.c ports/tap.h ports/tap_acquire.c
