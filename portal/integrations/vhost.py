"""nginx's virtual host of a site, and what all of them share. Pure: the same specification, the same text.

Files of this form are included at the http level. The main configuration's are real addresses, $homeport_https ("on" or
empty), the server of names that no site has, log format and types of files; what depends on a generation is here.
Where WordPress is asked for its rules: developer.wordpress.org/advanced-administration/server/web-server/nginx/.

A site's PHP may make symbolic links: nginx follows none whose target belongs to somebody else, or one site could have
the files of another one served (`disable_symlinks`).
"""

from __future__ import annotations

from portal.integrations.filling import fill
from portal.integrations.site_spec import LISTEN, SITES_ROOT, SOCKETS, STATUS, SiteSpec

MULTIPART_MIB = 8  # of a request beside the file that is uploaded with it
RETRY_AFTER_S = 300
GRACE_S = 10  # PHP ends a request before nginx gives it up

SHARED = """\
# Rendered by Homeport as generation <<generation>>: what is changed here is lost.
# What a site says itself stands; these are said for it when it does not.
map $upstream_http_x_content_type_options $homeport_content_type_options {
    "" nosniff;
    default "";
}
map $upstream_http_x_frame_options $homeport_frame_options {
    "" SAMEORIGIN;
    default "";
}
map $upstream_http_referrer_policy $homeport_referrer_policy {
    "" strict-origin-when-cross-origin;
    default "";
}

# Who may ask for a site's marker: neighbours, and nobody who came through the tunnel.
geo $homeport_is_private {
    default 0;
    127.0.0.0/8 1;
    10.0.0.0/8 1;
    172.16.0.0/12 1;
    192.168.0.0/16 1;
    ::1 1;
    fc00::/7 1;
}
map "$homeport_is_private:$http_cf_connecting_ip$http_cf_ray" $homeport_is_probe {
    default 0;
    "1:" 1;
}

server {
    listen <<status>>;
    server_name generation;
    access_log off;
    location = /.homeport/generation {
        default_type text/plain;
        return 200 "<<generation>>\\n";
    }
    location / {
        return 404;
    }
}
"""

_HEAD = """\
# Site <<name>>. Rendered by Homeport as a part of generation <<generation>>: what is changed here is lost.
server {
    listen <<listen>>;
    server_name <<hostnames>>;
    server_tokens off;

    location = /.homeport/marker {
        default_type application/json;
        if ($homeport_is_probe = 0) {
            return 404;
        }
        return 200 '{"site":"<<name>>","generation":<<generation>>}';
    }
"""

DISABLED = (
    _HEAD
    + """
    location / {
        default_type text/plain;
        return 404 "This site is switched off.\\n";
    }
}
"""
)

ACTIVE = (
    _HEAD
    + """
<<maintained>>    root <<sites_root>>/<<name>>/public;
    index index.php;
    absolute_redirect off;
    disable_symlinks if_not_owner from=$document_root;
    client_max_body_size <<body_max_mib>>m;
    client_body_timeout 30s;

    add_header X-Content-Type-Options $homeport_content_type_options always;
    add_header X-Frame-Options $homeport_frame_options always;
    add_header Referrer-Policy $homeport_referrer_policy always;

    # Of these the first that matches is taken.
    location ~ /\\.(?!well-known/) {
        return 404;
    }
    location ~* ^/(?:wp-config(-sample)?\\.php[^/]*|readme\\.html|license\\.txt|wp-content/(?:debug\\.log|db\\.php))$ {
        return 404;
    }
    location ~* ^/wp-content/(?:uploads|files|cache|upgrade)/.*\\.(?:php\\d?|phtml|pht|phps|phar)(?:/|$) {
        return 404;
    }
    location ~* (?:~|\\.(?:sql(?:\\.(?:gz|bz2|zst|zip))?|bak|old|orig|save|swp|log|ini|inc|sh))$ {
        return 404;
    }
<<xmlrpc>>    location ~ \\.php$ {
        try_files $uri =404;
        fastcgi_pass unix:<<sockets>>/<<name>>.sock;
        fastcgi_index index.php;
        fastcgi_connect_timeout 5s;
        fastcgi_send_timeout <<patience_s>>s;
        fastcgi_read_timeout <<patience_s>>s;
        fastcgi_buffers 16 16k;
        fastcgi_buffer_size 32k;
        fastcgi_hide_header X-Powered-By;
        fastcgi_param GATEWAY_INTERFACE CGI/1.1;
        fastcgi_param SERVER_SOFTWARE nginx;
        fastcgi_param SERVER_PROTOCOL $server_protocol;
        fastcgi_param SERVER_NAME $host;
        fastcgi_param SERVER_ADDR $server_addr;
        fastcgi_param SERVER_PORT $server_port;
        fastcgi_param REMOTE_ADDR $remote_addr;
        fastcgi_param REMOTE_PORT $remote_port;
        fastcgi_param REQUEST_SCHEME $scheme;
        fastcgi_param REQUEST_METHOD $request_method;
        fastcgi_param REQUEST_URI $request_uri;
        fastcgi_param DOCUMENT_URI $document_uri;
        fastcgi_param DOCUMENT_ROOT $document_root;
        fastcgi_param SCRIPT_NAME $fastcgi_script_name;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_param QUERY_STRING $query_string;
        fastcgi_param CONTENT_TYPE $content_type;
        fastcgi_param CONTENT_LENGTH $content_length;
        fastcgi_param REDIRECT_STATUS 200;
        fastcgi_param HTTPS $homeport_https if_not_empty;
        fastcgi_param HTTP_PROXY "";
    }
    location ~* \\.(?:php\\d?|phtml|pht|phps|phar)(?:/|$) {
        return 404;
    }
    location ~* \\.(?:css|js|mjs|map|gif|jpe?g|png|webp|avif|svg|ico|woff2?|ttf|otf|eot|mp3|mp4|webm|ogg|pdf)$ {
        try_files $uri /index.php$is_args$args;
        expires 7d;
    }
    location / {
        try_files $uri $uri/ /index.php$is_args$args;
    }
}
"""
)

# Whoever works on the site looks at it as visitors will see it again: neighbours come through.
_MAINTAINED = """\
    if ($homeport_is_probe = 0) {
        return 503;
    }
    error_page 503 @maintained;
    location @maintained {
        internal;
        default_type text/html;
        add_header Retry-After <<retry_after_s>> always;
        add_header Cache-Control no-store always;
        return 503 "<!doctype html><meta charset=utf-8><title>503</title><p>This site will be back soon.\\n";
    }

"""

_XMLRPC_REFUSED = """\
    location = /xmlrpc.php {
        return 404;
    }
"""


def vhost(site: SiteSpec, generation: int) -> str:
    """Return the virtual host of one site: serving, being maintained, or switched off."""
    template = ACTIVE if site.is_enabled else DISABLED
    template = template.replace("<<maintained>>", _MAINTAINED if site.is_maintained else "")
    template = template.replace("<<xmlrpc>>", "" if site.allows_xmlrpc else _XMLRPC_REFUSED)
    return fill(
        template,
        {
            "name": site.name,
            "hostnames": " ".join(site.hostnames),
            "generation": generation,
            "listen": LISTEN,
            "sites_root": SITES_ROOT,
            "sockets": SOCKETS,
            "body_max_mib": site.php.upload_max_mib + MULTIPART_MIB,
            "patience_s": site.php.max_execution_s + GRACE_S,
            "retry_after_s": RETRY_AFTER_S,
        },
    )


def shared(generation: int) -> str:
    """Return what stands once: maps, and the server that tells the number of the generation."""
    return fill(SHARED, {"generation": generation, "status": STATUS})
