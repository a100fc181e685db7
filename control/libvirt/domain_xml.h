/*
 * domain_xml - a libvirt domain's XML becomes the ports that it wants
 *
 * Interfaces of type `ethernet` become ports of type netdev for their TAP;
 * those of type `vhostuser` become ports of type vhost-user for their socket:
 * where QEMU connects (mode='client') the switch listens, and the other way
 * round. Others are none of ours. What the ports are like says, the nearest
 * last:
 *
 *     <switchd:ports xmlns:switchd='urn:switchd:1' ATTRIBUTES>  in <metadata>
 *     <vlan>, <mtu>, <link>, <port> and <driver queues> of the interface
 *     <switchd:port alias='net0' ATTRIBUTES/>                   in
 * <switchd:ports>
 *
 * mode, vlan and trunk go together: one of them given nearer by takes all three
 * from there. switchd-libvirt(8) is the reference. XML is what whoever may
 * define domains has written: an attribute of ours that isn't known is a
 * problem of all the domain's ports, since without it a guest could be where it
 * mustn't.
 *
 * Threads: any, no shared state.
 */
#ifndef CONTROL_LIBVIRT_DOMAIN_XML_H
#define CONTROL_LIBVIRT_DOMAIN_XML_H

#include "base/error.h"
#include "control/libvirt/wanted.h"

#define DOMAIN_XML_NS "urn:switchd:1"

/* Which of a domain's interfaces need a port now. */
enum domain_part {
	DOMAIN_RUNNING, /* XML of a domain that runs: all */
	/* Of one that is defined: sockets that have to be there before QEMU
	 * starts and connects. */
	DOMAIN_DEFINED,
};

struct domain_options {
	const char *marker; /* a port's description begins with it */
	const char *owner;  /* of sockets that we listen on; NULL: not said */
};

/*
 * Append a domain's ports. Returns 0, or -errno with *e: the text is no domain
 * (reason bad-xml), or no memory.
 */
int domain_xml_ports(const char *xml, enum domain_part part,
		     const struct domain_options *options, struct wanted *w,
		     struct error *e) __attribute__((warn_unused_result));

#endif
