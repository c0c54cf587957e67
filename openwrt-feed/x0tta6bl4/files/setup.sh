# Prepares a mesh from the radios that this router has, in /etc/config. Sourced by the init script (`setup`), at the first
# boot and when a radio appears; needs /lib/functions.sh. Changes only sections of its own names (x0mesh*), bat0, and
# with a role what that role needs; a mesh that somebody else has declared is taken as it is.
# shellcheck shell=dash disable=SC2034,SC2154

X0_CONFIG=x0tta6bl4
# Whether a radio that appears is still part of the first boot: within that boot, and later where it had found none.
X0_FIRST_BOOT=/var/run/x0tta6bl4-first-boot
# Not in /etc/x0tta6bl4, which is the agent's: root would write through a link that it left there.
X0_PENDING=/etc/x0tta6bl4-setup-pending
# Nobody asked for a setup, and there was one: what was taken out of its mesh since stays out, and off the air.
x0_upgraded=''
# Nobody asked for this setup: what somebody has set since in sections of ours is how this router is reached.
x0_unasked=''

x0_say() {
	logger -t x0tta6bl4 "$*" 2>/dev/null
	echo "x0tta6bl4: $*" >&2
}

# The first, unless mesh.interface names another that is there.
_x0_find_mesh() {
	local proto
	config_get proto "$1" proto
	[ "$proto" = batadv ] || return 0
	[ -n "$x0_mesh" ] && [ "$1" != "$x0_wanted" ] || x0_mesh=$1
}

_x0_find_foreign() {
	local mode
	config_get mode "$1" mode
	case $1:$mode in
	x0mesh_*) ;;
	*:mesh | *:adhoc) x0_foreign=$1 ;;
	esac
}

# One radio a band: two meshes on one channel would only take each other's air. The first of each, or the first that OpenWrt
# has put on the channel where most meet: of two for 5 GHz one often has the upper channels alone, and comes first.
_x0_find_radio() {
	local band type hwmode channel
	config_get type "$1" type
	[ "$type" = mac80211 ] || return 0
	config_get band "$1" band
	[ -n "$band" ] || {
		config_get hwmode "$1" hwmode
		case $hwmode in 11a) band=5g ;; 11g | 11b) band=2g ;; esac
	}
	config_get channel "$1" channel
	case $band:$channel in
	2g:1) [ -n "$x0_meets_2g" ] || x0_radio_2g=$1 x0_meets_2g=1 ;;
	5g:36) [ -n "$x0_meets_5g" ] || x0_radio_5g=$1 x0_meets_5g=1 ;;
	2g:*) [ -n "$x0_radio_2g" ] || x0_radio_2g=$1 ;;
	5g:*) [ -n "$x0_radio_5g" ] || x0_radio_5g=$1 ;;
	esac
}

# Sets x0_mesh (the batadv interface that is declared), x0_foreign (a mesh of somebody else's), x0_radio_2g, x0_radio_5g.
x0_look() {
	x0_mesh='' x0_foreign='' x0_radio_2g='' x0_radio_5g='' x0_meets_2g='' x0_meets_5g=''
	x0_wanted=$(uci -q get "$X0_CONFIG.mesh.interface")
	config_load network
	config_foreach _x0_find_mesh interface
	config_load wireless
	config_foreach _x0_find_radio wifi-device
	config_foreach _x0_find_foreign wifi-iface
	[ -z "$x0_upgraded" ] || {
		uci -q get wireless.x0mesh_2g >/dev/null || x0_radio_2g=''
		uci -q get wireless.x0mesh_5g >/dev/null || x0_radio_5g=''
	}
}

# The radios' own password, out of the mesh key: one secret to type, and neither gives the other away.
x0_password() {
	printf 'x0tta6bl4 sae v1 %s' "$1" | sha256sum | cut -c 1-32
}

# Routers meet on one channel each band; one that chooses by itself cannot be met. It gets what OpenWrt gives most radios.
_x0_channel() {
	local channel
	channel=$(uci -q get "wireless.$1.channel")
	case $channel in
	'' | auto | 0) uci -q set "wireless.$1.channel=$2" ;;
	esac
}

_x0_keep_off() {
	local device off
	config_get device "$1" device
	config_get off "$1" disabled
	case $1:$device:$off in
	x0mesh_*) ;;
	*:"$x0_radio":1) ;;
	*:"$x0_radio":*)
		uci -q set "wireless.$1.disabled=1"
		x0_say "wireless.$1 stays off the air, as its radio was: give it a key, then uci delete wireless.$1.disabled"
		;;
	esac
}

# OpenWrt ships each radio off, with an open access point of the LAN on it: what was off the air stays off.
_x0_radio_on() {
	case $(uci -q get "wireless.$1.disabled") in 1 | on | true | yes | enabled) ;; *) return 0 ;; esac
	x0_radio=$1
	config_load wireless
	config_foreach _x0_keep_off wifi-iface
	uci -q delete "wireless.$1.disabled"
}

# _x0_default OPTION VALUE
_x0_default() {
	uci -q get "$1" >/dev/null || uci -q set "$1=$2"
}

# _x0_join BAND RADIO CHANNEL. This runs after each upgrade too: what somebody chose since stays, also what is off.
_x0_join() {
	local section="x0mesh_$1" radio had most was
	was=$(uci -q get "wireless.$section")
	had=$(uci -q get "wireless.$section.key")
	uci -q batch <<-END
		set network.$section=interface
		set network.$section.proto=batadv_hardif
		set network.$section.master=$x0_mesh
		set wireless.$section=wifi-iface
		set wireless.$section.network=$section
		set wireless.$section.mode=mesh
	END
	_x0_default "network.$section.mtu" 1536
	_x0_default "wireless.$section.device" "$2"
	_x0_default "wireless.$section.mesh_id" x0tta6bl4
	_x0_default "wireless.$section.mesh_fwding" 0
	_x0_default "wireless.$section.mesh_nolearn" 1
	_x0_default "wireless.$section.encryption" sae
	# A password that somebody gave it, or none by choice: with another it would lose its peers.
	if [ -n "$x0_unasked" ] && [ -n "$was" ]; then
		[ -n "$x0_key" ] && [ -z "$had" ] || return 0
	fi
	radio=$(uci -q get "wireless.$section.device")
	_x0_channel "$radio" "$3"
	most=$(uci -q get "$X0_CONFIG.mesh.max_neighbours")
	if [ "${most:-0}" -eq 0 ]; then
		uci -q delete "wireless.$section.mesh_max_peer_links"
	else
		uci -q set "wireless.$section.mesh_max_peer_links=$most"
	fi
	if [ -z "$x0_key" ]; then
		# Never an open mesh: it waits for the key.
		uci -q delete "wireless.$section.key"
		uci -q set "wireless.$section.disabled=1"
	else
		uci -q set "wireless.$section.key=$(x0_password "$x0_key")"
		[ -n "$had" ] || {
			uci -q delete "wireless.$section.disabled"
			_x0_radio_on "$radio"
		}
	fi
	return 0
}

# A batadv interface and the radios in it. Answers 1 where there is nothing to do it with.
x0_mesh_from_radios() {
	local made=''
	[ -n "$x0_mesh" ] || {
		x0_mesh=bat0 made=1
		uci -q batch <<-END
			set network.bat0=interface
			set network.bat0.proto=batadv
			set network.bat0.routing_algo=BATMAN_IV
		END
	}
	if [ -n "$x0_foreign" ]; then
		x0_say "wireless.$x0_foreign is a mesh already: the radios stay as they are"
	else
		[ -z "$x0_radio_5g" ] || _x0_join 5g "$x0_radio_5g" 36
		[ -z "$x0_radio_2g" ] || _x0_join 2g "$x0_radio_2g" 1
	fi
	uci -q set "$X0_CONFIG.mesh=mesh"
	uci -q set "$X0_CONFIG.mesh.interface=$x0_mesh"
	[ -z "$made" ] || [ -n "$x0_radio_5g$x0_radio_2g" ] || [ -n "$x0_foreign" ]
}

# Adds to x0_zoned what other zones of the firewall have.
_x0_find_zone() {
	local networks
	[ "$1" != x0mesh ] || return 0
	config_get networks "$1" network
	x0_zoned="$x0_zoned$networks "
}

# Adds to x0_networks what is of the mesh and in nobody's zone.
_x0_find_unzoned() {
	local proto master
	config_get proto "$1" proto
	config_get master "$1" master
	case $1:$proto:$master in
	"$x0_mesh":* | *:batadv_hardif:"$x0_mesh") ;;
	*) return 0 ;;
	esac
	case $x0_zoned in *" $1 "*) ;; *) x0_networks="$x0_networks $1" ;; esac
}

# _x0_anew SECTION of the firewall: answers 1 where it is there and stays.
_x0_anew() {
	[ -z "$x0_unasked" ] || ! uci -q get "firewall.$1" >/dev/null || return 1
	uci -q delete "firewall.$1"
	return 0
}

# Routers hold their sessions by link-local addresses of the mesh's own interfaces, and fw4 rejects what no zone lets in: a
# zone that takes those, and nothing else.
_x0_firewall() {
	local network port
	[ -e /etc/config/firewall ] || return 0
	x0_zoned=' ' x0_networks=''
	config_load firewall
	config_foreach _x0_find_zone zone
	config_load network
	config_foreach _x0_find_unzoned interface
	[ -n "$x0_networks" ] || {
		for network in x0mesh x0mesh_sessions x0mesh_neighbours; do uci -q delete "firewall.$network"; done
		return 0
	}
	port=$(uci -q get "$X0_CONFIG.peer.port")
	! _x0_anew x0mesh || uci -q batch <<-END
		set firewall.x0mesh=zone
		set firewall.x0mesh.name=x0mesh
		set firewall.x0mesh.input=REJECT
		set firewall.x0mesh.output=ACCEPT
		set firewall.x0mesh.forward=REJECT
	END
	! _x0_anew x0mesh_sessions || uci -q batch <<-END
		set firewall.x0mesh_sessions=rule
		set firewall.x0mesh_sessions.name=x0tta6bl4-mesh-sessions
		set firewall.x0mesh_sessions.src=x0mesh
		set firewall.x0mesh_sessions.family=ipv6
		set firewall.x0mesh_sessions.src_ip=fe80::/10
		set firewall.x0mesh_sessions.dest_port=${port:-17447}
		set firewall.x0mesh_sessions.target=ACCEPT
	END
	! _x0_anew x0mesh_neighbours || uci -q batch <<-END
		set firewall.x0mesh_neighbours=rule
		set firewall.x0mesh_neighbours.name=x0tta6bl4-mesh-neighbours
		set firewall.x0mesh_neighbours.src=x0mesh
		set firewall.x0mesh_neighbours.family=ipv6
		set firewall.x0mesh_neighbours.proto=icmp
		set firewall.x0mesh_neighbours.target=ACCEPT
		add_list firewall.x0mesh_neighbours.icmp_type=neighbour-solicitation
		add_list firewall.x0mesh_neighbours.icmp_type=neighbour-advertisement
		add_list firewall.x0mesh_neighbours.icmp_type=echo-request
	END
	for network in $x0_networks; do
		case " $(uci -q get firewall.x0mesh.network) " in
		*" $network "*) ;;
		*) uci -q add_list "firewall.x0mesh.network=$network" ;;
		esac
	done
}

_x0_find_bridge() {
	local name
	config_get name "$1" name
	[ "$name" != br-lan ] || x0_bridge=$1
}

_x0_bridge_mesh() {
	local port
	for port in $(uci -q get "network.$x0_bridge.ports"); do
		[ "$port" != "$x0_mesh" ] || return 0
	done
	uci -q add_list "network.$x0_bridge.ports=$x0_mesh"
}

_x0_find_cable() {
	local proto master
	config_get proto "$1" proto
	config_get master "$1" master
	case $1:$proto:$master in
	x0mesh_*) ;;
	*:batadv_hardif:"${x0_mesh:-bat0}") x0_cable=$1 ;;
	esac
}

# x0_can_be ROLE: says why not, and answers 1, before anything is set: half a role, committed with what somebody sets next, or
# a LAN that asks a mesh for its address which nothing leads into, would cut the router off.
x0_can_be() {
	x0_bridge='' x0_cable=''
	config_load network
	config_foreach _x0_find_bridge device
	config_foreach _x0_find_cable interface
	[ -n "$x0_bridge" ] || {
		x0_say "there is no bridge br-lan to put ${x0_mesh:-bat0} into, so nothing is changed: make one, or set the role up by hand"
		return 1
	}
	[ "$1" = node ] && [ -z "$x0_cable" ] || return 0
	if [ -n "$x0_foreign" ] || [ -z "$x0_radio_2g$x0_radio_5g" ]; then
		x0_say "a node has its LAN's address from the mesh, and nothing here leads into ${x0_mesh:-bat0}, so nothing is changed: put a cable in (proto batadv_hardif), and setup node again"
	elif [ -z "$x0_key" ]; then
		x0_say "a node has its LAN's address from the mesh, and its radios wait for a key, so nothing is changed: uci set x0tta6bl4.mesh.key=... and setup node again"
	else
		return 0
	fi
	return 1
}

# gateway: the LAN's DHCP and the way out are here. node: one LAN with the gateway's, address and all from there.
x0_role() {
	case $1 in
	gateway)
		uci -q set "network.$x0_mesh.gw_mode=server"
		# What its LAN had is not known any more where it was a node before.
		[ "$(uci -q get network.lan.proto)" != dhcp ] ||
			x0_say "the LAN takes its address from elsewhere, and a gateway hands them out: uci set network.lan.proto=static; uci set network.lan.ipaddr=192.168.1.1; uci set network.lan.netmask=255.255.255.0; uci delete dhcp.lan.ignore; uci set dhcp.lan.dhcpv6=server; uci set dhcp.lan.ra=server; uci commit"
		;;
	node)
		uci -q set "network.$x0_mesh.gw_mode=client"
		uci -q set network.lan.proto=dhcp
		uci -q delete network.lan.ipaddr
		uci -q delete network.lan.netmask
		uci -q set dhcp.lan.ignore=1
		uci -q delete dhcp.lan.dhcpv6
		uci -q delete dhcp.lan.ra
		;;
	esac
	_x0_bridge_mesh
}

# Prints how many characters a text has as the agent counts them: UTF-16 units of UTF-8, and bytes that are none one each, where
# ash counts bytes.
_x0_letters() {
	local units
	units=$(printf %s "$1" | hexdump -v -e '/1 "%02x "' | sed -E '
		s/(f0 [9ab]|f[123] [89ab]|f4 8)[0-9a-f]( [89ab][0-9a-f]){2} /.. /g
		s/(e0 [ab]|e[1-9abcef] [89ab]|ed [89])[0-9a-f] [89ab][0-9a-f] /. /g
		s/(c[2-9a-f]|d[0-9a-f]) [89ab][0-9a-f] /. /g
		s/[0-9a-f]{2} /. /g' | tr -d ' \n')
	echo ${#units}
}

# x0_number OPTION LEAST MOST: answers 1, and says why, where the option is there and none of these whole numbers.
x0_number() {
	local value
	value=$(uci -q get "$X0_CONFIG.$1")
	case $value in
	'') return 0 ;;
	*[!0-9]* | ????????????????*) ;;
	*) [ "$value" -ge "$2" ] && [ "$value" -le "$3" ] && return 0 ;;
	esac
	x0_say "$1 is no whole number from $2 to $3, so nothing is changed: uci set $X0_CONFIG.$1=... and again"
	return 1
}

# The agent makes its mesh itself, out of what mesh.hard_interface names: another one beside it would take its name.
x0_makes_its_own() {
	case $(uci -q get "$X0_CONFIG.mesh.own") in
	1 | on | true | yes | enabled) ;;
	*) return 1 ;;
	esac
}

# x0_setup ROLE, which may be empty
x0_setup() {
	local config why letters
	case $1 in
	'' | gateway | node) ;;
	*)
		echo "usage: /etc/init.d/x0tta6bl4 setup [gateway|node]" >&2
		return 2
		;;
	esac
	! x0_makes_its_own || {
		x0_say "mesh.own has the agent make its mesh itself, so nothing is changed: 'uci delete x0tta6bl4.mesh.own' and setup again for one that the network configuration declares"
		return 1
	}
	x0_key=$(uci -q get "$X0_CONFIG.mesh.key")
	# The agent would not take it, and radios must not go by what it does not.
	why=''
	letters=$(_x0_letters "$x0_key")
	case $x0_key in
	'') ;;
	*[[:cntrl:]]*) why='has control characters' ;;
	*)
		[ "$letters" -ge 16 ] || why='has fewer than 16 letters'
		[ "$letters" -le 256 ] || why='has more than 256 letters'
		;;
	esac
	[ -z "$why" ] || {
		x0_say "mesh.key $why, so nothing is changed: uci set x0tta6bl4.mesh.key=... and setup again"
		return 1
	}
	x0_number mesh.max_neighbours 0 255 && x0_number peer.port 1 65535 || return 1
	x0_look
	why=$(uci -q get network.bat0.proto)
	[ -n "$x0_mesh" ] || [ "${why:-batadv}" = batadv ] || {
		x0_say "network.bat0 is somebody else's, of proto $why, so nothing is changed: declare the mesh (proto batadv) by another name, and setup again"
		return 1
	}
	[ -z "$1" ] || x0_can_be "$1" || return 1
	x0_mesh_from_radios || x0_say "no radio for a mesh was found; cables go in with proto batadv_hardif"
	[ -z "$1" ] || x0_role "$1"
	_x0_firewall
	for config in network wireless dhcp firewall "$X0_CONFIG"; do
		[ ! -e "/etc/config/$config" ] || uci -q commit "$config" || {
			x0_say "/etc/config/$config cannot be written, so this setup is not whole: see df /overlay and uci show $config, and setup again"
			return 1
		}
	done
	rm -f "$X0_PENDING"
	if [ -n "$x0_key" ]; then
		x0_say "$x0_mesh is configured; '/etc/init.d/network reload' and 'reload_config' bring it up"
	else
		x0_say "$x0_mesh is prepared, its radios wait for a key: uci set x0tta6bl4.mesh.key=... and setup again"
	fi
}

# At the first boot: only where nobody has declared a mesh. May run again, for each radio that appears.
x0_first_boot() {
	[ -e "$X0_FIRST_BOOT" ] || [ -e "$X0_PENDING" ] || x0_upgraded=1
	x0_unasked=1
	! x0_makes_its_own || {
		rm -f "$X0_PENDING"
		return 0
	}
	x0_look
	if [ -n "$x0_mesh" ] && [ -z "$(uci -q get wireless.x0mesh_2g)$(uci -q get wireless.x0mesh_5g)" ]; then
		[ "$(uci -q get "$X0_CONFIG.mesh.interface")" = "$x0_mesh" ] || {
			uci -q set "$X0_CONFIG.mesh=mesh"
			uci -q set "$X0_CONFIG.mesh.interface=$x0_mesh"
			uci commit "$X0_CONFIG"
		}
		rm -f "$X0_PENDING"
	elif [ -n "$x0_radio_2g$x0_radio_5g" ]; then
		x0_setup ''
	else
		: >"$X0_PENDING"
	fi
}
