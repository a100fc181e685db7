#include "control/libvirt/hypervisor.h"

#include "base/log.h"
#include "control/libvirt/domain_xml.h"

#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A libvirtd that has said nothing for so long is gone. */
#define KEEPALIVE_SECONDS 5
#define KEEPALIVE_COUNT	  3

#define EVENTS	4
#define URI_MAX 60 /* bytes of it in a description, which has 127 */

/* A domain, and what is known of it. */
struct known {
	char uuid[VIR_UUID_STRING_BUFLEN];
	bool changed; /* since its XML was read */
	bool seen;    /* in the list that is being gone through */
	bool active;  /* as its XML was read */
	struct wanted wanted;
};

struct hypervisor {
	const char *uri, *owner;
	virConnectPtr conn;
	int event[EVENTS];
	unsigned int nevents;
	bool closed; /* libvirt has said so */
	bool all;    /* any domain may have changed, or be new */
	struct known *known;
	size_t n;
	char marker[URI_MAX + 16];
};

/* Errors are returned and said by who asked. */
static void say_nothing(void *ctx, virErrorPtr error)
{
	(void)ctx;
	(void)error;
}

int hypervisor_events(void)
{
	virSetErrorFunc(NULL, say_nothing);
	return virInitialize() < 0 || virEventRegisterDefaultImpl() < 0 ? -EIO
									: 0;
}

struct hypervisor *hypervisor_new(const char *uri, const char *owner)
{
	struct hypervisor *hv = calloc(1, sizeof(*hv));

	if (hv) {
		hv->uri = uri;
		hv->owner = owner;
	}
	return hv;
}

static void known_clear(struct hypervisor *hv)
{
	for (size_t i = 0; i < hv->n; i++)
		wanted_clear(&hv->known[i].wanted);
	free(hv->known);
	hv->known = NULL;
	hv->n = 0;
}

/* ---- Events ---- */

/* NULL: one that is new, or can't be told. */
static struct known *find(const struct hypervisor *hv, virDomainPtr dom)
{
	char uuid[VIR_UUID_STRING_BUFLEN];

	if (virDomainGetUUIDString(dom, uuid) < 0)
		return NULL;
	for (size_t i = 0; i < hv->n; i++)
		if (!strcmp(hv->known[i].uuid, uuid))
			return &hv->known[i];
	return NULL;
}

static void note(struct hypervisor *hv, virDomainPtr dom)
{
	struct known *k = find(hv, dom);

	if (k)
		k->changed = true;
	else
		hv->all = true;
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr dom, int event,
			int detail, void *opaque)
{
	(void)conn;
	(void)event;
	(void)detail;
	note(opaque, dom);
	return 0;
}

static void on_device(virConnectPtr conn, virDomainPtr dom, const char *alias,
		      void *opaque)
{
	(void)conn;
	(void)alias;
	note(opaque, dom);
}

static void on_metadata(virConnectPtr conn, virDomainPtr dom, int type,
			const char *uri, void *opaque)
{
	(void)conn;
	if (type == VIR_DOMAIN_METADATA_ELEMENT && uri &&
	    !strcmp(uri, DOMAIN_XML_NS))
		note(opaque, dom);
}

static void on_close(virConnectPtr conn, int reason, void *opaque)
{
	struct hypervisor *hv = opaque;

	(void)conn;
	(void)reason;
	hv->closed = true;
}

/* ---- The connection ---- */

static void disconnect(struct hypervisor *hv)
{
	if (!hv->conn)
		return;
	for (unsigned int i = 0; i < hv->nevents; i++)
		virConnectDomainEventDeregisterAny(hv->conn, hv->event[i]);
	hv->nevents = 0;
	virConnectUnregisterCloseCallback(hv->conn, on_close);
	virConnectClose(hv->conn);
	hv->conn = NULL;
	known_clear(hv);
}

void hypervisor_free(struct hypervisor *hv)
{
	if (hv)
		disconnect(hv);
	free(hv);
}

static int fail(struct error *e, const char *reason, const char *what)
{
	return error_set(e, EIO, reason, NULL, "%s: %s", what,
			 virGetLastErrorMessage());
}

static int subscribe(struct hypervisor *hv)
{
	static const struct {
		int id;
		virConnectDomainEventGenericCallback call;
	} events[EVENTS] = {
		{ VIR_DOMAIN_EVENT_ID_LIFECYCLE,
		  VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle) },
		{ VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
		  VIR_DOMAIN_EVENT_CALLBACK(on_device) },
		{ VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
		  VIR_DOMAIN_EVENT_CALLBACK(on_device) },
		{ VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
		  VIR_DOMAIN_EVENT_CALLBACK(on_metadata) },
	};

	for (unsigned int i = 0; i < EVENTS; i++) {
		int id = virConnectDomainEventRegisterAny(
			hv->conn, NULL, events[i].id, events[i].call, hv, NULL);

		if (id < 0)
			return -EIO;
		hv->event[hv->nevents++] = id;
	}
	return 0;
}

static void set_marker(struct hypervisor *hv)
{
	char *uri = virConnectGetURI(hv->conn);

	snprintf(hv->marker, sizeof(hv->marker), "libvirt %.*s", URI_MAX,
		 uri ? uri : "");
	for (char *p = hv->marker + strlen("libvirt "); *p; p++)
		if (*p <= ' ' || *p > '~')
			*p = '?';
	free(uri);
}

int hypervisor_connect(struct hypervisor *hv, struct error *e)
{
	/* Somebody who is asked for a password must be there to type it. */
	virConnectAuthPtr auth =
		isatty(STDIN_FILENO) ? virConnectAuthPtrDefault : NULL;
	int r;

	disconnect(hv);
	hv->conn = virConnectOpenAuth(hv->uri, auth, 0);
	if (!hv->conn)
		return fail(e, "no-libvirt", hv->uri ? hv->uri : "libvirt");
	hv->closed = false;
	hv->all = true;
	set_marker(hv);
	/* Drivers inside of this process (test) have neither. */
	virConnectSetKeepAlive(hv->conn, KEEPALIVE_SECONDS, KEEPALIVE_COUNT);
	virConnectRegisterCloseCallback(hv->conn, on_close, hv, NULL);
	if (subscribe(hv) == 0)
		return 0;
	r = fail(e, "no-events", "this libvirt tells no events");
	disconnect(hv);
	return r;
}

bool hypervisor_connected(struct hypervisor *hv)
{
	if (hv->conn && (hv->closed || virConnectIsAlive(hv->conn) == 0))
		disconnect(hv);
	return hv->conn != NULL;
}

const char *hypervisor_marker(const struct hypervisor *hv)
{
	return hv->marker;
}

void hypervisor_doubt(struct hypervisor *hv)
{
	hv->all = true;
}

bool hypervisor_changed(const struct hypervisor *hv)
{
	for (size_t i = 0; i < hv->n; i++)
		if (hv->known[i].changed)
			return true;
	return hv->all;
}

/* ---- Domains ---- */

static struct known *known_of(struct hypervisor *hv, const char *uuid)
{
	struct known *k;

	for (size_t i = 0; i < hv->n; i++)
		if (!strcmp(hv->known[i].uuid, uuid))
			return &hv->known[i];
	k = realloc(hv->known, (hv->n + 1) * sizeof(*k));
	if (!k)
		return NULL;
	hv->known = k;
	k += hv->n++;
	memset(k, 0, sizeof(*k));
	snprintf(k->uuid, sizeof(k->uuid), "%s", uuid);
	return k;
}

/* Has the call failed because there is no such domain (any more)? */
static bool vanished(void)
{
	const virError *error = virGetLastError();

	return error && error->code == VIR_ERR_NO_DOMAIN;
}

/* The ports of one of a domain's two definitions. Returns 0 or -errno. */
static int read_part(const struct hypervisor *hv, virDomainPtr dom,
		     enum domain_part part, struct wanted *w)
{
	const struct domain_options options = { .marker = hv->marker,
						.owner = hv->owner };
	unsigned int flags =
		part == DOMAIN_DEFINED ? VIR_DOMAIN_XML_INACTIVE : 0;
	char *xml = virDomainGetXMLDesc(dom, flags);
	struct error e = { 0 };
	int r;

	if (!xml && vanished())
		return 0;
	r = xml ? domain_xml_ports(xml, part, &options, w, &e)
		: fail(&e, "no-xml", "its XML");
	free(xml);
	if (r < 0)
		log_warning("libvirt", "domain %s can't be read: %s (%s)",
			    virDomainGetName(dom), e.message, e.reason);
	return r;
}

/* What a domain wants: as it runs, and as it will when it is started again. */
static int read_domain(const struct hypervisor *hv, virDomainPtr dom,
		       struct known *k)
{
	int active = virDomainIsActive(dom), kept = virDomainIsPersistent(dom);
	struct wanted now = { 0 }, later = { 0 };
	int r = 0;

	if (active < 0 || kept < 0)
		r = vanished() ? 0 : -EIO;
	if (r == 0 && active == 1)
		r = read_part(hv, dom, DOMAIN_RUNNING, &now);
	if (r == 0 && kept == 1)
		r = read_part(hv, dom, DOMAIN_DEFINED, &later);
	if (r == 0)
		r = wanted_add_all(&now, &later, true);
	wanted_clear(&later);
	if (r < 0) {
		wanted_clear(&now);
		return r;
	}
	wanted_clear(&k->wanted);
	k->wanted = now;
	k->active = active == 1;
	k->changed = false;
	return 0;
}

static int by_uuid(const void *a, const void *b)
{
	return strcmp(((const struct known *)a)->uuid,
		      ((const struct known *)b)->uuid);
}

/* What is left has an order, so that who comes second to a name is always the
 * same. */
static void forget_unseen(struct hypervisor *hv)
{
	size_t n = 0;

	for (size_t i = 0; i < hv->n; i++)
		if (hv->known[i].seen)
			hv->known[n++] = hv->known[i];
		else
			wanted_clear(&hv->known[i].wanted);
	hv->n = n;
	if (n)
		qsort(hv->known, n, sizeof(*hv->known), by_uuid);
}

/* Returns 0, 1 where a domain couldn't be read, or -errno. */
static int read_all(struct hypervisor *hv, struct error *e)
{
	virDomainPtr *list = NULL;
	int n, unread = 0;

	hv->all = false; /* an event from now on isn't in the list */
	n = virConnectListAllDomains(hv->conn, &list, 0);
	if (n < 0) {
		hv->all = true;
		return fail(e, "no-list", "the list of domains");
	}
	for (size_t i = 0; i < hv->n; i++)
		hv->known[i].seen = false;
	for (int i = 0; i < n; i++) {
		char uuid[VIR_UUID_STRING_BUFLEN] = "";
		struct known *k;

		virDomainGetUUIDString(list[i], uuid);
		k = known_of(hv, uuid);
		if (!k || read_domain(hv, list[i], k) < 0)
			unread = 1;
		if (k)
			k->seen = true;
		virDomainFree(list[i]);
	}
	free(list);
	forget_unseen(hv);
	if (unread)
		hv->all = true;
	return unread;
}

/* The same with those that have changed. */
static int read_changed(struct hypervisor *hv)
{
	int unread = 0;

	for (size_t i = 0; i < hv->n; i++) {
		struct known *k = &hv->known[i];
		virDomainPtr dom;

		k->seen = true;
		if (!k->changed)
			continue;
		dom = virDomainLookupByUUIDString(hv->conn, k->uuid);
		if (!dom && vanished())
			k->seen = false;
		else if (!dom || read_domain(hv, dom, k) < 0)
			unread = 1;
		if (dom)
			virDomainFree(dom);
	}
	forget_unseen(hv);
	return unread;
}

void hypervisor_look(struct hypervisor *hv)
{
	virDomainPtr *list = NULL;
	int n = virConnectListAllDomains(hv->conn, &list,
					 VIR_CONNECT_LIST_DOMAINS_ACTIVE);

	if (n < 0)
		return;
	for (size_t i = 0; i < hv->n; i++)
		hv->known[i].seen = false;
	for (int i = 0; i < n; i++) {
		struct known *k = find(hv, list[i]);

		if (k)
			k->seen = true;
		else
			hv->all = true;
		virDomainFree(list[i]);
	}
	free(list);
	for (size_t i = 0; i < hv->n; i++)
		if (hv->known[i].seen != hv->known[i].active)
			hv->known[i].changed = true;
}

int hypervisor_read(struct hypervisor *hv, struct wanted *w, bool *complete,
		    struct error *e)
{
	int r = hv->all ? read_all(hv, e) : read_changed(hv);

	if (r < 0)
		return r;
	*complete = r == 0;
	for (size_t i = 0; i < hv->n; i++)
		if (wanted_add_all(w, &hv->known[i].wanted, false) < 0)
			return error_set(e, ENOMEM, "no-memory", NULL,
					 "no memory");
	return 0;
}
