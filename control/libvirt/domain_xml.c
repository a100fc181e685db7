#include "control/libvirt/domain_xml.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1100 /* longer than any parameter that the switch takes */

/* A domain that is being read. */
struct reader {
	const struct domain_options *options;
	enum domain_part part;
	char name[256], uuid[40];
	xmlNode *ports;	   /* <switchd:ports>, or NULL */
	unsigned int next; /* number of the next alias that isn't there yet */
	char problem[160]; /* of the domain's metadata; "" = none */
	struct wanted *w;
};

/* ---- XML ---- */

static bool is_element(const xmlNode *n, const char *name)
{
	return n->type == XML_ELEMENT_NODE && !n->ns &&
	       !strcmp((const char *)n->name, name);
}

static bool is_ours(const xmlNode *n)
{
	return n->type == XML_ELEMENT_NODE && n->ns &&
	       !strcmp((const char *)n->ns->href, DOMAIN_XML_NS);
}

static xmlNode *child(const xmlNode *parent, const char *name)
{
	for (xmlNode *n = parent ? parent->children : NULL; n; n = n->next)
		if (is_element(n, name))
			return n;
	return NULL;
}

/* Copy a text and free it; what is too long is cut between two characters. */
static void copy(xmlChar *text, char *out, size_t size)
{
	size_t len;

	snprintf(out, size, "%s", text ? (const char *)text : "");
	len = strlen(out);
	if (text && text[len]) {
		while (len && (text[len] & 0xc0) == 0x80)
			len--;
		out[len] = '\0';
	}
	xmlFree(text);
}

/* An attribute's value. False: there is none, or it's empty. */
static bool attribute(xmlNode *n, const char *name, char *out, size_t size)
{
	copy(n ? xmlGetNoNsProp(n, (const xmlChar *)name) : NULL, out, size);
	return *out != '\0';
}

static bool attribute_is(xmlNode *n, const char *name, const char *want)
{
	char value[32];

	return attribute(n, name, value, sizeof(value)) && !strcmp(value, want);
}

static void content(xmlNode *n, char *out, size_t size)
{
	copy(n ? xmlNodeGetContent(n) : NULL, out, size);
}

/* ---- Our attributes ---- */

enum attribute_kind { KIND_TEXT, KIND_NUMBER, KIND_YES_NO, KIND_WHICH };

static const struct {
	const char *name;
	enum attribute_kind kind;
} attributes[] = {
	{ "profile", KIND_TEXT },    { "mode", KIND_TEXT },
	{ "vlan", KIND_NUMBER },     { "trunk", KIND_TEXT },
	{ "isolated", KIND_YES_NO }, { "learn", KIND_YES_NO },
	{ "flood", KIND_YES_NO },    { "mtu", KIND_NUMBER },
	{ "attach", KIND_YES_NO }, /* not the switch's: no port at all */
	{ "alias", KIND_WHICH },     { "mac", KIND_WHICH },
};

#define NATTRIBUTES (sizeof(attributes) / sizeof(attributes[0]))

static bool problem(struct reader *r, const char *what, const char *value)
{
	if (!*r->problem)
		snprintf(r->problem, sizeof(r->problem),
			 "metadata of %s: %s \"%.40s\"", DOMAIN_XML_NS, what,
			 value);
	return false;
}

/* A number of the switch's; what is out of its range the switch says. */
static json_t *number_json(const char *text)
{
	size_t n = strspn(text, "0123456789");

	return n && n <= 9 && !text[n] ? json_integer(strtol(text, NULL, 10))
				       : NULL;
}

static json_t *value_json(enum attribute_kind kind, const char *text)
{
	switch (kind) {
	case KIND_NUMBER:
		return number_json(text);
	case KIND_YES_NO:
		return !strcmp(text, "yes")  ? json_true()
		       : !strcmp(text, "no") ? json_false()
					     : NULL;
	default:
		return json_string(text);
	}
}

static bool attribute_read(struct reader *r, xmlNode *n, const xmlAttr *a,
			   bool each, json_t *out)
{
	const char *name = (const char *)a->name;
	char text[TEXT_MAX];
	json_t *value;
	size_t i = 0;

	while (i < NATTRIBUTES && strcmp(attributes[i].name, name) != 0)
		i++;
	if (i == NATTRIBUTES || (!each && attributes[i].kind == KIND_WHICH))
		return problem(r, "there is no attribute", name);
	attribute(n, name, text, sizeof(text));
	if (attributes[i].kind == KIND_WHICH)
		return true;
	value = value_json(attributes[i].kind, text);
	if (!value)
		return problem(r, "it can't be", text);
	json_object_set_new(out, name, value);
	return true;
}

/* The attributes of an element of ours; NULL: the reader has a problem. `each`:
 * of one interface, not of all. */
static json_t *settings_read(struct reader *r, xmlNode *n, bool each)
{
	json_t *out = json_object();

	for (const xmlAttr *a = n->properties; a; a = a->next) {
		if (a->ns || attribute_read(r, n, a, each, out))
			continue;
		json_decref(out);
		return NULL;
	}
	return out;
}

/* Lay settings over others; those that go together go together. */
static void settings_lay(json_t *onto, json_t *settings)
{
	static const char *const vlan[] = { "mode", "vlan", "trunk" };
	bool any = false;

	for (size_t i = 0; i < 3; i++)
		any |= json_object_get(settings, vlan[i]) != NULL;
	for (size_t i = 0; i < 3 && any; i++)
		json_object_del(onto, vlan[i]);
	json_object_update(onto, settings);
}

/* Is this element about the interface? */
static bool is_about(xmlNode *n, const char *alias, const char *mac)
{
	char text[TEXT_MAX];
	bool any = false;

	if (attribute(n, "alias", text, sizeof(text))) {
		if (strcmp(text, alias) != 0)
			return false;
		any = true;
	}
	if (attribute(n, "mac", text, sizeof(text))) {
		if (strcasecmp(text, mac) != 0)
			return false;
		any = true;
	}
	return any;
}

/* Check all of the metadata, whichever interfaces there are. */
static void metadata_check(struct reader *r)
{
	json_t *o = settings_read(r, r->ports, false);
	char text[8];

	json_decref(o);
	for (xmlNode *n = r->ports->children; n; n = n->next) {
		if (!is_ours(n))
			continue;
		if (strcmp((const char *)n->name, "port") != 0)
			problem(r, "there is no element",
				(const char *)n->name);
		o = settings_read(r, n, true);
		json_decref(o);
		if (!attribute(n, "alias", text, sizeof(text)) &&
		    !attribute(n, "mac", text, sizeof(text)))
			problem(r, "an element needs alias= or mac=:",
				(const char *)n->name);
	}
}

/* ---- Interfaces ---- */

/* libvirt's <vlan>: one tag, or a trunk. */
static void vlan_element(xmlNode *vlan, json_t *out)
{
	char list[TEXT_MAX] = "", id[16];
	bool trunk = attribute_is(vlan, "trunk", "yes");
	json_t *native = NULL;
	unsigned int tags = 0;

	for (xmlNode *n = vlan->children; n; n = n->next) {
		size_t len = strlen(list);

		if (!is_element(n, "tag") ||
		    !attribute(n, "id", id, sizeof(id)))
			continue;
		snprintf(list + len, sizeof(list) - len, "%s%s",
			 tags++ ? "," : "", id);
		if (!native && attribute_is(n, "nativeMode", "untagged"))
			native = number_json(id);
	}
	if (!tags)
		return;
	if (trunk || tags > 1) {
		json_object_set_new(out, "mode", json_string("trunk"));
		json_object_set_new(out, "trunk", json_string(list));
		if (native)
			json_object_set_new(out, "vlan", native);
		return;
	}
	json_decref(native);
	json_object_set_new(out, "mode", json_string("access"));
	json_object_set_new(out, "vlan", number_json(list));
}

/* What libvirt itself has words for. */
static json_t *own_elements(xmlNode *iface)
{
	json_t *out = json_object();
	xmlNode *vlan = child(iface, "vlan");
	char text[16];

	if (vlan)
		vlan_element(vlan, out);
	if (attribute(child(iface, "mtu"), "size", text, sizeof(text)))
		json_object_set_new(out, "mtu", number_json(text));
	if (attribute_is(child(iface, "link"), "state", "down"))
		json_object_set_new(out, "enabled", json_false());
	if (attribute_is(child(iface, "port"), "isolated", "yes"))
		json_object_set_new(out, "isolated", json_true());
	return out;
}

static json_t *vhost_user_device(const struct reader *r, xmlNode *iface)
{
	xmlNode *source = child(iface, "source");
	char path[TEXT_MAX], queues[16];
	bool listens = !attribute_is(source, "mode", "server");
	json_t *o;

	if (!attribute(source, "path", path, sizeof(path)) ||
	    (r->part == DOMAIN_DEFINED && !listens))
		return NULL;
	o = json_pack("{s:s,s:s,s:s}", "type", "vhost-user", "path", path,
		      "role", listens ? "server" : "client");
	if (listens && r->options->owner)
		json_object_set_new(o, "owner", json_string(r->options->owner));
	if (attribute(child(iface, "driver"), "queues", queues, sizeof(queues)))
		json_object_set_new(o, "queues", number_json(queues));
	return o;
}

/* The parameters that say which device; NULL: the interface needs no port now,
 * or never. */
static json_t *device_params(const struct reader *r, xmlNode *iface)
{
	char ifname[64];

	if (attribute_is(iface, "type", "vhostuser"))
		return vhost_user_device(r, iface);
	if (!attribute_is(iface, "type", "ethernet") ||
	    r->part != DOMAIN_RUNNING ||
	    !attribute(child(iface, "target"), "dev", ifname, sizeof(ifname)))
		return NULL;
	return json_pack("{s:s,s:s}", "type", "netdev", "ifname", ifname);
}

/*
 * libvirt gives aliases when a domain starts: net0, net1 and so on to the
 * interfaces without, in their order; hostdev interfaces have others.
 */
static void interface_alias(struct reader *r, xmlNode *iface, char *alias,
			    size_t size)
{
	unsigned int number;
	char rest;

	if (attribute(child(iface, "alias"), "name", alias, size)) {
		if (sscanf(alias, "net%u%c", &number, &rest) == 1 &&
		    number >= r->next && number < 100000)
			r->next = number + 1;
		return;
	}
	if (!attribute_is(iface, "type", "hostdev"))
		snprintf(alias, size, "net%u", r->next++);
}

/* All that is said of an interface, laid over each other; a new reference. */
static json_t *interface_settings(struct reader *r, xmlNode *iface,
				  const char *alias, const char *mac)
{
	json_t *all =
		r->ports ? settings_read(r, r->ports, false) : json_object();
	json_t *own = own_elements(iface);

	settings_lay(all, own);
	json_decref(own);
	for (xmlNode *n = r->ports ? r->ports->children : NULL; n;
	     n = n->next) {
		if (!is_ours(n) || !is_about(n, alias, mac))
			continue;
		own = settings_read(r, n, true);
		settings_lay(all, own);
		json_decref(own);
	}
	return all;
}

static int interface_port(struct reader *r, xmlNode *iface, const char *alias)
{
	char name[WANTED_NAME_MAX], mac[18], text[128];
	json_t *params = device_params(r, iface), *settings;
	bool attach;

	if (!params)
		return 0;
	attribute(child(iface, "mac"), "address", mac, sizeof(mac));
	wanted_name(name, r->name, r->uuid, alias, mac);
	if (*r->problem) {
		json_decref(params);
		return wanted_add(r->w, name, NULL, r->problem);
	}
	settings = interface_settings(r, iface, alias, mac);
	attach = !json_is_false(json_object_get(settings, "attach"));
	json_object_del(settings, "attach");
	snprintf(text, sizeof(text), "%s %s %s", r->options->marker, r->uuid,
		 mac);
	json_object_set_new(params, "description", json_string(text));
	json_object_update(params, settings);
	json_decref(settings);
	if (attach)
		return wanted_add(r->w, name, params, NULL);
	json_decref(params);
	return 0;
}

static int interfaces(struct reader *r, xmlNode *domain)
{
	xmlNode *devices = child(domain, "devices");
	char alias[TEXT_MAX] = "";
	int err = 0;

	for (xmlNode *n = devices ? devices->children : NULL; n && !err;
	     n = n->next) {
		if (!is_element(n, "interface"))
			continue;
		interface_alias(r, n, alias, sizeof(alias));
		err = interface_port(r, n, alias);
	}
	return err;
}

static int domain_read(struct reader *r, xmlNode *domain, struct error *e)
{
	xmlNode *metadata;

	if (!domain || !is_element(domain, "domain"))
		return error_set(e, EINVAL, "bad-xml", NULL,
				 "that is no domain's XML");
	content(child(domain, "name"), r->name, sizeof(r->name));
	content(child(domain, "uuid"), r->uuid, sizeof(r->uuid));
	metadata = child(domain, "metadata");
	for (xmlNode *n = metadata ? metadata->children : NULL; n; n = n->next)
		if (is_ours(n) && !strcmp((const char *)n->name, "ports"))
			r->ports = n;
		else if (is_ours(n))
			problem(r, "there is no element",
				(const char *)n->name);
	if (r->ports)
		metadata_check(r);
	if (interfaces(r, domain) < 0)
		return error_set(e, ENOMEM, "no-memory", NULL, "no memory");
	return 0;
}

int domain_xml_ports(const char *xml, enum domain_part part,
		     const struct domain_options *options, struct wanted *w,
		     struct error *e)
{
	struct reader r = { .options = options, .part = part, .w = w };
	/* No entities, nothing from outside: it needn't be libvirt's. */
	xmlDoc *doc = xmlReadMemory(xml, (int)strlen(xml), "domain", NULL,
				    XML_PARSE_NONET | XML_PARSE_NOERROR |
					    XML_PARSE_NOWARNING);
	int err;

	if (!doc)
		return error_set(e, EINVAL, "bad-xml", NULL, "that is no XML");
	err = domain_read(&r, xmlDocGetRootElement(doc), e);
	xmlFreeDoc(doc);
	return err;
}
