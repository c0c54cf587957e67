# Stands in for OpenWrt's /lib/functions.sh: the configuration's readers, over the stand-in of uci.
config_load() { CONFIG_LOADED=$1; }
config_get() {
	local value
	value=$(uci -q get "$CONFIG_LOADED.$2.$3")
	eval "$1=\${value:-\$4}"
}
config_foreach() {
	local section
	for section in $(sed -n "s/^$CONFIG_LOADED\.\([^.=]*\)=$2\$/\1/p" "/etc/config/$CONFIG_LOADED" 2>/dev/null); do "$1" "$section"; done
}
config_list_foreach() {
	local item
	for item in $(uci -q get "$CONFIG_LOADED.$1.$2"); do "$3" "$item"; done
}
