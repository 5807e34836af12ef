// Package fpmstatus renders the status of a worker as PHP-FPM's status page
// does (sapi/fpm/fpm/fpm_status.c, PHP 8.4): the same fields in the same order
// and spacing in each of its five formats, so that whatever reads that page reads
// this one. It differs where FPM's page is wrong: the three queue fields are
// those of the pool's own queue, which FPM leaves 0 on unix sockets; nothing is
// cut; everything is escaped; and no process of the worker is used to answer.
package fpmstatus
