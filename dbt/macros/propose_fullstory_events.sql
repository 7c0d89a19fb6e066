{#- Prints a model for each event name, with the types of the loaded properties. -#}
{%- macro propose_fullstory_events() -%}
    {%- if execute -%}
    {%- set taken = [] -%}
    {%- for name, properties in dbt_fullstory_imports.property_types().items() if name -%}
        {%- set file = 'fullstory_event_' ~ dbt_fullstory_imports.slug(name, 'unnamed') -%}
        {%- set file = dbt_fullstory_imports.numbered(file, taken) -%}
        {%- do taken.append(file) -%}
        {%- do print(dbt_fullstory_imports.proposal(file, name, properties)) -%}
    {%- endfor -%}
    {%- if not taken -%}
        {%- do print('No events are loaded yet.') -%}
    {%- endif -%}
    {%- endif -%}
{%- endmacro -%}

{#- The text of a model. -#}
{%- macro proposal(file, name, properties) -%}
    {%- set lines = ['{# models/' ~ file ~ '.sql #}'] -%}
    {%- do lines.append('{{ dbt_fullstory_imports.fullstory_event(' ~ dbt_fullstory_imports.jinja_literal(name) ~ ', {') -%}
    {%- for property, types in properties.items() -%}
        {%- do lines.append('    ' ~ dbt_fullstory_imports.jinja_literal(property) ~ ": '" ~ types.proposed ~ "',") -%}
    {%- endfor -%}
    {%- do lines.append('}) }}') -%}
    {%- for property, types in properties.items() if types.is_changing -%}
        {%- do lines.append(
            '{# ' ~ (dbt_fullstory_imports.jinja_literal(property) | replace('#}', '# }'))
            ~ ' is text, because its type changes: ' ~ (types.jobs.keys() | reject('in', ['null', 'nulls']) | join(', ')) ~ ' #}'
        ) -%}
    {%- endfor -%}
    {{ return(lines | join('\n') ~ '\n') }}
{%- endmacro -%}

{%- macro jinja_literal(text) -%}
    {%- set text = text | replace('\\', '\\\\') | replace("'", "\\'") -%}
    {{ return("'" ~ (text | replace('\n', '\\n') | replace('\r', '\\r')) ~ "'") }}
{%- endmacro -%}
