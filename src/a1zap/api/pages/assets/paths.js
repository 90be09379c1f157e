// Where the demo page asks. `as=visitor`: an owner who is signed in in this browser is a visitor here all the same.

export const PUBLIC_AGENTS = "/api/public-agents";
export const visitorPath = (agentId) => `/api/agents/${agentId}/visitor?as=visitor`;
export const sayPath = (agentId) => `/api/agents/${agentId}/chat?as=visitor`;
export const chatsPath = (agentId) => `/api/agents/${agentId}/conversations?as=visitor&limit=30`;
export const chatPath = (chatId) => `/api/chats/${chatId}?as=visitor`;
export const messagesPath = (chatId) => `/api/chats/${chatId}/messages?as=visitor&limit=50`;
export const filesPath = (agentId) => `/api/agents/${agentId}/files?as=visitor`;
export const typingPath = (chatId) => `/api/chats/${chatId}/typing?as=visitor`;
export const readPath = (chatId) => `/api/chats/${chatId}/read?as=visitor`;
export const eventsPath = (chatId) => `/api/chats/${chatId}/events?as=visitor`;
