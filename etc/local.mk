# What an admin points QEMU at, next to the configuration.
hooksdir = $(sysconfdir)/switchd
dist_hooks_SCRIPTS = etc/qemu-ifup etc/qemu-ifdown

dist_examples_DATA += etc/switchd.conf

if HAVE_SYSTEMD
systemdsystemunit_DATA = etc/switchd.service
if HAVE_LIBVIRT
systemdsystemunit_DATA += etc/switchd-libvirt.service
endif
networkddir = $(prefix)/lib/systemd/network
dist_networkd_DATA = etc/systemd-networkd/05-switchd.network
endif
if HAVE_SYSTEMD_USER
systemduserunit_DATA = etc/systemd-user/switchd.service
endif
networkmanagerdir = $(prefix)/lib/NetworkManager/conf.d
dist_networkmanager_DATA = etc/networkmanager/90-switchd.conf

# These name installed paths, which make knows and configure doesn't.
etc/switchd.service: etc/switchd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && $(SED) \
		-e 's|@sbindir[@]|$(sbindir)|g' \
		-e 's|@sysconfdir[@]|$(sysconfdir)|g' \
		$(srcdir)/etc/switchd.service.in >$@.tmp && mv $@.tmp $@

etc/systemd-user/switchd.service: etc/systemd-user/switchd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc/systemd-user && \
		$(SED) -e 's|@sbindir[@]|$(sbindir)|g' \
		$(srcdir)/etc/systemd-user/switchd.service.in >$@.tmp && \
		mv $@.tmp $@

etc/switchd-libvirt.service: etc/switchd-libvirt.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && $(SED) -e 's|@sbindir[@]|$(sbindir)|g' \
		$(srcdir)/etc/switchd-libvirt.service.in >$@.tmp && mv $@.tmp $@

CLEANFILES += etc/switchd.service etc/switchd-libvirt.service \
	etc/systemd-user/switchd.service
EXTRA_DIST += etc/build.sh etc/packages.sh etc/quickstart \
	etc/switchd-libvirt.service.in etc/switchd.service.in \
	etc/systemd-user/switchd.service.in etc/sysusers.conf

# An admin's configuration stays, and goes only where it's still the sample. The
# other file, on its way to lib/sysusers.d it gets the name that systemd wants.
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(hooksdir)'
	test -e '$(DESTDIR)$(hooksdir)/switchd.conf' || \
		$(INSTALL_DATA) $(srcdir)/etc/switchd.conf \
			'$(DESTDIR)$(hooksdir)/switchd.conf'
if HAVE_SYSTEMD
	$(MKDIR_P) '$(DESTDIR)$(prefix)/lib/sysusers.d'
	$(INSTALL_DATA) $(srcdir)/etc/sysusers.conf \
		'$(DESTDIR)$(prefix)/lib/sysusers.d/switchd.conf'
endif

uninstall-local:
	if cmp -s $(srcdir)/etc/switchd.conf \
		'$(DESTDIR)$(hooksdir)/switchd.conf'; then \
		rm -f '$(DESTDIR)$(hooksdir)/switchd.conf'; \
	fi
if HAVE_SYSTEMD
	rm -f '$(DESTDIR)$(prefix)/lib/sysusers.d/switchd.conf'
endif
