# Sets up Yggdrasil for sessions with routers elsewhere, in /etc/config. Sourced by x0tta6bl4's init script (`yggdrasil`),
# behind x0tta6bl4's setup.sh.
# Changes only sections of its own names (x0ygg*); an interface x0ygg that is there keeps its key.
# shellcheck shell=dash

X0_CONFIG=x0tta6bl4
# Where Yggdrasil announces itself to who is beside it, by its own choice, and where it takes connections of who heard that.
X0_YGG_BEACON=9001
X0_YGG_PORT=17448

# Sets place to the bridge that has the mesh interface as a port: there its addresses are.
_x0_find_place() {
	local name ports
	config_get name "$1" name
	config_get ports "$1" ports
	case " $ports " in *" $mesh "*) place=$name ;; esac
}

# x0_yggdrasil PEER...: tls://host:port and the like, of others' Yggdrasil nodes. Routers of one mesh find each other.
x0_yggdrasil() {
	local peer number=0 mesh port place=''
	for peer; do
		case $peer in
		*[!]A-Za-z0-9:/.@?=\&%_[-]* | -* | [!a-z]*) number=x ;;
		tcp://?* | tls://?* | quic://?* | ws://?* | wss://?*) ;;
		*) number=x ;;
		esac
		[ "$number" != x ] || {
			echo "x0tta6bl4: '$peer' is no peer of Yggdrasil: expected tls://HOST:PORT, or tcp, quic, ws, wss" >&2
			return 2
		}
	done
	mesh=$(uci -q get "$X0_CONFIG.mesh.interface")
	port=$(uci -q get "$X0_CONFIG.peer.port")
	# Each is a word of uci's below: a line more in it would be a command more.
	case $mesh in '' | *[!A-Za-z0-9._-]*) mesh=bat0 ;; esac
	x0_number peer.port 1 65535 || return 1
	config_load network
	config_foreach _x0_find_place device
	case $place in '' | *[!A-Za-z0-9._-]*) place=$mesh ;; esac
	uci -q get network.x0ygg.private_key >/dev/null || uci -q batch <<-END
		set network.x0ygg=interface
		set network.x0ygg.proto=yggdrasil
		set network.x0ygg.private_key=auto
	END
	# A list: of an option by that name Yggdrasil's script (config_list_foreach) sees nothing, and no interface is taken.
	uci -q delete network.x0ygg_mesh.interface
	uci -q batch <<-END
		set network.x0ygg_mesh=yggdrasil_x0ygg_interface
		add_list network.x0ygg_mesh.interface=$place
		set network.x0ygg_mesh.beacon=1
		set network.x0ygg_mesh.listen=1
		set network.x0ygg_mesh.port=$X0_YGG_PORT
		set firewall.x0ygg=zone
		set firewall.x0ygg.name=x0ygg
		set firewall.x0ygg.network=x0ygg
		set firewall.x0ygg.input=REJECT
		set firewall.x0ygg.output=ACCEPT
		set firewall.x0ygg.forward=REJECT
		set firewall.x0ygg_sessions=rule
		set firewall.x0ygg_sessions.name=x0tta6bl4-sessions
		set firewall.x0ygg_sessions.src=x0ygg
		set firewall.x0ygg_sessions.family=ipv6
		set firewall.x0ygg_sessions.proto=tcp
		set firewall.x0ygg_sessions.dest_port=${port:-17447}
		set firewall.x0ygg_sessions.target=ACCEPT
	END
	uci -q delete firewall.x0ygg_heard
	uci -q delete firewall.x0ygg_found
	# The mesh's own zone, which setup makes, takes nothing else.
	! uci -q get firewall.x0mesh >/dev/null || uci -q batch <<-END
		set firewall.x0ygg_heard=rule
		set firewall.x0ygg_heard.name=x0tta6bl4-yggdrasil-heard
		set firewall.x0ygg_heard.src=x0mesh
		set firewall.x0ygg_heard.family=ipv6
		set firewall.x0ygg_heard.src_ip=fe80::/10
		set firewall.x0ygg_heard.proto=udp
		set firewall.x0ygg_heard.dest_port=$X0_YGG_BEACON
		set firewall.x0ygg_heard.target=ACCEPT
		set firewall.x0ygg_found=rule
		set firewall.x0ygg_found.name=x0tta6bl4-yggdrasil-found
		set firewall.x0ygg_found.src=x0mesh
		set firewall.x0ygg_found.family=ipv6
		set firewall.x0ygg_found.src_ip=fe80::/10
		set firewall.x0ygg_found.proto=tcp
		set firewall.x0ygg_found.dest_port=$X0_YGG_PORT
		set firewall.x0ygg_found.target=ACCEPT
	END
	# Those of the last time go, however many they were.
	while uci -q delete "network.x0ygg_peer$number"; do number=$((number + 1)); done
	number=0
	for peer; do
		uci -q set "network.x0ygg_peer$number=yggdrasil_x0ygg_peer"
		uci -q set "network.x0ygg_peer$number.address=$peer"
		number=$((number + 1))
	done
	uci -q commit network
	uci -q commit firewall
	echo "x0tta6bl4: Yggdrasil is configured; '/etc/init.d/network reload' and '/etc/init.d/firewall reload' bring it up" >&2
	[ "$number" != 0 ] || echo "x0tta6bl4: without peers it reaches routers of this mesh only" >&2
}

# x0_yggdrasil_listen ADDRESS: the agent listens there, and no more where Yggdrasil had it before. Answers 1 where it does already.
x0_yggdrasil_listen() {
	local one others='' known=''
	case $1 in 2??:* | 3??:*) ;; *) return 1 ;; esac
	for one in $(uci -q get "$X0_CONFIG.peer.listen"); do
		case $one in
		"$1") known=1 ;;
		# 200::/7 is Yggdrasil's.
		2??:* | 3??:*) ;;
		*) others="$others $one" ;;
		esac
	done
	[ -z "$known" ] || return 1
	uci -q set "$X0_CONFIG.peer=peer"
	uci -q delete "$X0_CONFIG.peer.listen"
	for one in $others "$1"; do uci -q add_list "$X0_CONFIG.peer.listen=$one"; done
	uci -q commit "$X0_CONFIG"
}
