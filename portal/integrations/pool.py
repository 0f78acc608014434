"""PHP-FPM's pool of a site, and the one that tells the generation. Pure.

A pool is a site's boundary: processes of its own user and group, no other groups, files by `open_basedir`. Its socket
is open to the web server's group alone: whoever can speak FastCGI to a pool runs code as its site, so it is no TCP port
and not open to all. That group comes from the directory, which is setgid: FPM's master, root without CHOWN, can give a
file to nobody. Directives: php.net/manual/en/install.fpm.configuration.php.
"""

from __future__ import annotations

from portal.integrations.filling import fill
from portal.integrations.site_spec import SHARED_CODE, SITES_ROOT, SOCKETS, WEB_GROUP, SiteSpec
from portal.integrations.vhost import MULTIPART_MIB

GRACE_S = 5  # over PHP's own limit, which a site can lift by set_time_limit and does not count waiting

# No second line beside the uid, but what only an intruder asks for. `mail` stays: without it wp_mail dies instead of
# failing, so it gets a program that fails.
DISABLED_FUNCTIONS = (
    "exec",
    "passthru",
    "shell_exec",
    "system",
    "popen",
    "proc_open",
    "proc_nice",
    "pcntl_exec",
    "pcntl_fork",
    "posix_kill",
    "posix_setuid",
    "dl",
    "link",
    "symlink",
    "syslog",
)

POOL = """\
; Site <<name>>. Rendered by Homeport as a part of generation <<generation>>: what is changed here is lost.
[<<name>>]
user = <<uid>>
group = <<uid>>
listen = <<sockets>>/<<name>>.sock
listen.mode = 0660
listen.backlog = 128
pm = ondemand
pm.max_children = <<max_children>>
pm.process_idle_timeout = 30s
pm.max_requests = 500
clear_env = yes
env[HOME] = <<tree>>/tmp
env[TMPDIR] = <<tree>>/tmp
env[PATH] = /usr/local/bin:/usr/bin:/bin
request_terminate_timeout = <<terminate_s>>s
request_terminate_timeout_track_finished = yes
catch_workers_output = yes
decorate_workers_output = no
rlimit_core = 0
rlimit_files = 1024
security.limit_extensions = .php
php_admin_value[open_basedir] = <<tree>>/:<<shared>>/
php_admin_value[sys_temp_dir] = <<tree>>/tmp
php_admin_value[upload_tmp_dir] = <<tree>>/tmp
php_admin_value[session.save_path] = <<tree>>/tmp
php_admin_value[memory_limit] = <<memory_limit_mib>>M
php_admin_value[upload_max_filesize] = <<upload_max_mib>>M
php_admin_value[post_max_size] = <<body_max_mib>>M
php_admin_value[max_execution_time] = <<max_execution_s>>
php_admin_value[max_input_time] = <<max_execution_s>>
php_admin_value[sendmail_path] = /bin/false
php_admin_value[disable_functions] = <<disabled_functions>>
php_admin_flag[display_errors] = off
php_admin_flag[display_startup_errors] = off
php_admin_flag[html_errors] = off
php_admin_flag[log_errors] = on
php_admin_flag[fastcgi.logging] = off
php_admin_flag[allow_url_include] = off
php_admin_flag[enable_dl] = off
"""

GENERATION = """\
; Rendered by Homeport: tells which generation is served, and runs no site.
[homeport]
user = <<web_group>>
group = <<web_group>>
listen = <<sockets>>/homeport.sock
listen.mode = 0660
pm = ondemand
pm.max_children = 1
pm.process_idle_timeout = 10s
ping.path = /ping
ping.response = <<generation>>
security.limit_extensions = .none
"""


def pool(site: SiteSpec, generation: int) -> str:
    """Return the pool of one site."""
    disabled = ",".join(DISABLED_FUNCTIONS)
    return fill(
        POOL.replace("<<disabled_functions>>", disabled),
        {
            "name": site.name,
            "generation": generation,
            "uid": site.uid,
            "sockets": SOCKETS,
            "shared": SHARED_CODE,
            "tree": f"{SITES_ROOT}/{site.name}",
            "max_children": site.php.max_children,
            "memory_limit_mib": site.php.memory_limit_mib,
            "upload_max_mib": site.php.upload_max_mib,
            "body_max_mib": site.php.upload_max_mib + MULTIPART_MIB,
            "max_execution_s": site.php.max_execution_s,
            "terminate_s": site.php.max_execution_s + GRACE_S,
        },
    )


def generation_pool(generation: int) -> str:
    """Return the pool that answers a ping with the number of the generation."""
    return fill(GENERATION, {"generation": generation, "sockets": SOCKETS, "web_group": WEB_GROUP})
