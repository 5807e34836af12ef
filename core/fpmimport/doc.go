// Package fpmimport turns the pools of PHP-FPM into workers: it reads php-fpm.conf
// and pool.d as PHP-FPM does (sapi/fpm/fpm/fpm_conf.c, Zend/zend_ini_scanner.l),
// and makes a worker.yaml of each pool, a tqserver.yaml for all of them, and a
// report that tells of every directive PHP-FPM has what became of it: taken over,
// equivalent, not needed, or not supported, and why. It writes only settings that
// the server knows, which its caller tells.
package fpmimport
