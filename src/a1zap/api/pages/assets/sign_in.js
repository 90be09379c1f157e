// To look at a sign-in link must not spend it; whoever runs scripts is a browser with a person before it.
document.getElementById("use-link").requestSubmit();
