// Package contestant sets up and starts what is compared: web servers with
// PHP-FPM or php-cgi, and TQServer, each as its users run it, all with the
// same scripts, the same php.ini and the same number of PHP processes.
package contestant
