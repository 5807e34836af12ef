package php

import (
	"fmt"
	"strings"
)

// layout says where in PHP's memory the parts of a stack are, as offsets in
// its structs on 64 bit without thread safety (ZTS).
type layout struct {
	current  uint64 // zend_executor_globals: zend_execute_data *current_execute_data
	last     uint64 // zend_op_array: uint32_t last, the number of opcodes
	opcodes  uint64 // zend_op *opcodes
	filename uint64 // zend_string *filename, and uint32_t line_start behind it
}

// What has been at the same place from 8.0 to 8.6 (Zend/zend_compile.h,
// zend_types.h, zend.h).
const (
	frameOpline = 0  // zend_execute_data: const zend_op *opline
	frameFunc   = 24 // zend_function *func
	frameThis   = 40 // the type byte of zval This
	framePrev   = 48 // zend_execute_data *prev_execute_data
	frameSize   = 56

	funcType  = 0  // zend_function: uint8_t type
	funcName  = 8  // zend_string *function_name
	funcScope = 16 // zend_class_entry *scope
	funcSize  = 24

	className  = 8  // zend_class_entry: zend_string *name
	oplineLine = 24 // zend_op: uint32_t lineno
	oplineSize = 32

	stringType  = 4  // zend_string: gc.u.type_info
	stringLen   = 16 // size_t len
	stringBytes = 24 // char val[]

	internalFunction = 1 // ZEND_INTERNAL_FUNCTION
	userFunction     = 2 // ZEND_USER_FUNCTION
	evalCode         = 4 // ZEND_EVAL_CODE
	isString         = 6 // IS_STRING
	isObject         = 8 // IS_OBJECT
)

// layoutOf knows the versions whose headers were read: Zend/zend_globals.h and
// zend_compile.h of each. 8.2, 8.4, 8.5 and 8.6 were tried with a real php-cgi, the
// others were derived: op_array's common part has run_time_cache and T since 8.2 (8.3 swapped
// them, which saves 8 bytes of padding), doc_comment and prop_info since 8.4;
// executor_globals has the last fatal error's backtrace since 8.5.
func layoutOf(version string) (layout, error) {
	known := map[string]layout{
		"8.0": {current: 488, last: 68, opcodes: 72, filename: 144},
		"8.1": {current: 488, last: 68, opcodes: 72, filename: 144},
		"8.2": {current: 488, last: 80, opcodes: 88, filename: 152},
		"8.3": {current: 488, last: 76, opcodes: 80, filename: 144},
		"8.4": {current: 488, last: 96, opcodes: 104, filename: 168},
		"8.5": {current: 512, last: 96, opcodes: 104, filename: 168},
		"8.6": {current: 512, last: 96, opcodes: 104, filename: 168},
	}
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	if l, ok := known[major+"."+minor]; ok {
		return l, nil
	}
	return layout{}, fmt.Errorf("the memory of PHP %s is not known to this version of the server, which can read PHP 8.0 to 8.6: update it", version)
}
