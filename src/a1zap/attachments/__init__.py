"""Files that come and go with messages: looked at before they are believed, sealed, and handed out by short-lived links."""
