{#-
A property of an event or a user as a typed column.

Args:
    name: The property's name in Fullstory.
    type: One of the types in the README.
    column: The column's name; it never changes its meaning.
-#}
{%- macro property(name, type, column) -%}
    {%- do dbt_fullstory_imports.sql_type(type) -%}
    {{ config(meta={'fullstory_property ' ~ name: {'type': type, 'column': column}}) }}
    {{- dbt_fullstory_imports.typed(dbt_fullstory_imports.json_get('properties', [name]), type) }} as {{ dbt_fullstory_imports.quoted(column) }}
{%- endmacro -%}

{#- The properties that the models of the project list, as rows: kind, name, property, type. -#}
{%- macro listed_properties() -%}
    {%- set rows = [] -%}
    {%- for node in (graph.nodes.values() if execute else []) if node.resource_type == 'model' and node.config.meta.fullstory_kind -%}
        {%- set meta = node.config.meta -%}
        {%- set event = literal(meta.fullstory_kind) ~ ', ' ~ literal(meta.fullstory_name or '') ~ ', ' -%}
        {%- do rows.append('(' ~ event ~ "'', 'none')") -%}
        {%- for key, column in meta.items() if key.startswith('fullstory_property ') -%}
            {%- do rows.append('(' ~ event ~ literal(key[19:]) ~ ', ' ~ literal(column.type) ~ ')') -%}
        {%- endfor -%}
    {%- endfor -%}
    select kind, name, property, type
    from (values {{ rows | join(', ') or "('', '', '', '')" }}) as listed (kind, name, property, type)
    where kind <> ''
{%- endmacro -%}
