# better-sqlite3 from its sources for the machine of CC and CXX, without node-gyp and without Node: what its binding.gyp says.
#
#     make -f sqlite.mk OUT=dir CC=... CXX=... [MODULES=../node_modules]     OUT/better_sqlite3.node
CC ?= gcc
CXX ?= g++
CFLAGS ?= -O2
MODULES ?= ../node_modules
OUT ?= build

BETTER := $(MODULES)/better-sqlite3
HEADERS := $(MODULES)/node-api-headers/include
# The settings of its deps/defines.gypi: the part in brackets, without quotes and commas.
DEFINES := $(shell sed -n "/'defines': \[/,/\]/s/^ *'\([^']*\)',$$/-D\1/p" $(BETTER)/deps/defines.gypi)
OURS := -fPIC -fvisibility=hidden -DNDEBUG

$(OUT)/better_sqlite3.node: $(OUT)/sqlite3.o $(OUT)/addon.o
	$(CXX) -shared -o $@.new $^ -Wl,-Bsymbolic -Wl,--exclude-libs,ALL $(LDFLAGS) -pthread
	mv $@.new $@

$(OUT)/sqlite3.o: $(BETTER)/deps/sqlite3/sqlite3.c sqlite.mk
	@mkdir -p $(OUT)
	$(CC) $(CFLAGS) -std=c99 -w $(OURS) $(DEFINES) $(CPPFLAGS) -I$(BETTER)/deps/sqlite3 -c -o $@ $<

$(OUT)/addon.o: $(BETTER)/src/better_sqlite3.cpp sqlite.mk
	@mkdir -p $(OUT)
	$(CXX) $(CFLAGS) -std=c++20 -fvisibility-inlines-hidden $(OURS) -DNAPI_VERSION=10 -DNAPI_DISABLE_CPP_EXCEPTIONS \
		-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS $(CPPFLAGS) -I$(BETTER)/deps/sqlite3 -I$(MODULES)/node-addon-api \
		-I$(HEADERS) -c -o $@ $<
